"""
The functions of ``speedups.c`` and its parts.
"""

from collections.abc import Callable, Mapping
from typing import Any

BUILD: int

def accepted(listener: int) -> tuple[int, bytes] | None:
    """
    Do the same as :meth:`echotwist.fast.accepting.Acceptor.accept`.
    """

def bares(
    state: tuple[int, int, dict[int, bytes], dict[int, Callable[[int], Any]], int, object],
) -> tuple[Callable[[int, int], tuple[int, int, int]], Callable[[int], tuple[Any, ...] | None]]:
    """
    Make the functions for the bare connections of a port.

    The first accepts up to so many connections of a listening socket, watches them, and
    enters them into the tables.  It returns how many it accepted; the number of the error
    that ended this, or 0; and the descriptor that cannot be watched, or -1.

    The second is :attr:`echotwist.fast.bare.BareConnections.echo`.  ``serve`` calls it for
    any event with something to read.  It also closes connections that have ended, if the
    peer has everything, takes them out of the tables, and counts their bytes.

    :param state: the address of two words: the bytes of ended connections, and whether
        somebody checks if peers take their bytes; the address of a word: whether to close
        connections; the names of the peers; the functions of the usual events; the
        descriptor of epoll(7); and the owner of the first words.
    """

def echo(fd: int) -> tuple[bytes | None, Any] | None:
    """
    Do the same as :func:`echotwist.fast.messages.plainEcho`.
    """

def relays(pipe: tuple[int, int]) -> Callable[[int], tuple[bytes | None, Any] | None]:
    """
    Make a function that does the same as :meth:`echotwist.fast.splice.Pipe.relay`.

    :param pipe: the descriptors of its outlet and inlet.
    """

def taken(fd: int) -> int:
    """
    Do the same as :func:`echotwist.fast.messages.plainTaken`, for :func:`echo` in C.
    """

def serve(
    epoll: int, usual: dict[int, Callable[[int], Any]], timeout: int, once: bool
) -> list[tuple[Any, ...]]:
    """
    Wait for events, and call the functions of the usual ones, until Python has something
    to do: an unusual event; work that a function leaves undone; a call of a function in
    Python, which may have changed anything; a signal; or the end of the timeout.

    :param epoll: the descriptor of epoll(7).
    :param usual: the functions, as for ``LeanReactor.addUsual``.
    :param timeout: milliseconds; -1 for ever.
    :param once: wait only once.
    :return: the events left to handle, in this order: descriptor, event and, in the
        first one alone, what the function left or raised.
    """

def turns(
    state: tuple[int, int, Mapping[bytes, bytes], object],
) -> Callable[[int], tuple[int, int] | None]:
    """
    Make the function for the turns of a datagram port.  It receives up to 64 datagrams,
    and answers them if all are known.

    The function returns ``None`` if it answered all; or else how many have come, and how
    many of them it answered; or 0, and the number of the error.  It counts only the turns
    in which it answered all, and leaves the headers of other turns as they are.

    :param state: the addresses of the headers and of two counters, of datagrams and of
        their bytes; the address and control messages of datagrams that are answered
        whatever their content, with the control messages of the replies; and the owner
        of the memory.
    """
