"""
Connections accepted as they are wanted, with one system call: accept4(2); where it is
not done in C, by way of ``ctypes``.

Python's own ``accept`` asks for a blocking descriptor, writes the peer's address as text,
and raises an exception when nobody waits.
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
        # A function that knows the types of its arguments takes twice as long to call.
        # It takes a number for an int: addresses are none, but references made here.
        self._accept4 = ctypes.CDLL(None, use_errno=True).accept4
        self._name = ctypes.create_string_buffer(_PEER_SIZE)
        self._size = ctypes.c_uint(_PEER_SIZE)
        self._references = ctypes.byref(self._name), ctypes.byref(self._size)

    def accept(self, listener: int) -> tuple[int, bytes] | None:
        """
        Accept one connection.

        :param listener: the descriptor.
        :return: its descriptor, which does not block, and the ``struct sockaddr`` of
            its peer; nothing if nobody waits.
        :raise OSError: something went wrong.
        """
        # All peers of a socket have names of the same size.
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
    Give what accepts connections: in C, if it is compiled.
    """
    accept: Callable[[int], tuple[int, bytes] | None]
    accept = compiled.speedups.accepted if compiled.speedups else Acceptor().accept
    return accept
