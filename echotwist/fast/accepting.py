"""
Accept non-blocking connections with one system call, accept4(2): in C if it is compiled,
or else through ``ctypes``.

Python's own ``accept`` asks for a blocking descriptor, writes the peer's address as text,
and raises an exception when no connection waits.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Callable

from echotwist.fast import compiled

#: Bytes of a ``struct sockaddr_in6``, which is the largest.
_PEER_SIZE = 28

_KIND = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


class Acceptor:
    """
    Accept the connections of a TCP socket.
    """

    def __init__(self) -> None:
        # With ``argtypes`` a call takes twice as long.  Without them a plain number is
        # passed as an int, so an address has to be a reference, made here.
        self._accept4 = ctypes.CDLL(None, use_errno=True).accept4
        self._name = ctypes.create_string_buffer(_PEER_SIZE)
        self._size = ctypes.c_uint(_PEER_SIZE)
        self._references = ctypes.byref(self._name), ctypes.byref(self._size)

    def accept(self, listener: int) -> tuple[int, bytes] | None:
        """
        Accept one connection.

        :param listener: the descriptor of the listening socket.
        :return: the connection's descriptor, which does not block, and the ``struct
            sockaddr`` of its peer; ``None`` if no connection waits.
        :raise OSError: the call failed.
        """
        # The addresses of all peers of a socket have the same size.
        name, size = self._references
        fd: int = self._accept4(listener, name, size, _KIND)
        if fd != -1:
            return fd, self._name.raw
        self._size.value = _PEER_SIZE
        number = ctypes.get_errno()
        if number in (errno.EAGAIN, errno.EINTR):
            return None
        raise OSError(number, os.strerror(number))


def acceptor() -> Callable[[int], tuple[int, bytes] | None]:
    """
    Return the function that accepts connections: the one in C, if it is compiled.
    """
    accept: Callable[[int], tuple[int, bytes] | None]
    accept = compiled.speedups.accepted if compiled.speedups else Acceptor().accept
    return accept
