"""
What ``speedups.c`` has.
"""

from collections.abc import Callable, Mapping
from typing import Any

def accepted(listener: int) -> tuple[int, bytes] | None:
    """
    Do as :meth:`echotwist.fast.accepting.Acceptor.accept`.
    """

def echo(fd: int) -> tuple[bytes | None, Any] | None:
    """
    Do as :func:`echotwist.fast.messages.plainEcho`.
    """

def relays(pipe: tuple[int, int]) -> Callable[[int], tuple[bytes | None, Any] | None]:
    """
    Make a function that does as :meth:`echotwist.fast.splice.Pipe.relay`.

    :param pipe: the descriptors of its outlet and inlet.
    """

def taken(fd: int) -> int:
    """
    Do as :func:`echotwist.fast.messages.plainTaken`, after :func:`echo`.
    """

def serve(
    epoll: int, usual: dict[int, Callable[[int], Any]], timeout: int, once: bool
) -> list[tuple[Any, ...]]:
    """
    Wait for events, and call the functions of the usual ones, until there is something
    else to do: another event; something that a function leaves; a function in Python,
    which may have done anything; a signal that ends the wait; or the time is over.

    :param epoll: the descriptor of epoll(7).
    :param usual: the functions, as for ``LeanReactor.addUsual``.
    :param timeout: milliseconds; -1 for ever.
    :param once: wait only once.
    :return: what is left, to be handled in this order: descriptor, event and, in the
        first one alone, what the function left or raised.
    """

def turns(
    state: tuple[int, int, Mapping[bytes, bytes], object],
) -> Callable[[int], tuple[int, int] | None]:
    """
    Make the function for the turns of a port of datagrams.  It receives up to 64, and
    answers them if all are known.

    The function gives nothing if that was all; or else how many have come, and how many
    of them it answered; or 0, and the number of the error.  It counts just those turns
    that are nothing to Python, and leaves the headers of others as they are.

    :param state: the addresses of the headers and of two counters, of datagrams and of
        their bytes; what is told of datagrams that are answered whatever they hold, with
        the control messages of their answers; and the owner of the memory.
    """
