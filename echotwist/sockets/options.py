"""
Socket options, the kernel's queues of a connection, and limits on open files.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from contextlib import suppress
from typing import Protocol

try:
    import resource
    from fcntl import ioctl
    from termios import FIONREAD, TIOCOUTQ
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]
    ioctl = None  # type: ignore[assignment]

#: ``struct linger``: two integers, or two short ones on Windows.
_LINGER = "hh" if sys.platform == "win32" else "ii"

#: Files that stay free for all other uses: logs, a spare one.
RESERVED_FILES = 16

#: Connections for metrics at a time; fewer where few files may be open.
SCRAPERS = 32


#: Bytes of each buffer of a datagram socket; the kernel gives twice as many, for its overhead.
#: By default many systems give a fifth of that: 256 small datagrams, or three of the largest.
DATAGRAM_BUFFER = 2**20

#: The options for their sizes, each with the one by which root may exceed the system's limit
#: (``SO_RCVBUFFORCE``, ``SO_SNDBUFFORCE``; socket(7)), for which Python has no name.
_BUFFERS = [(socket.SO_RCVBUF, 33), (socket.SO_SNDBUF, 32)] if sys.platform == "linux" else []

#: ``IP_RECVERR`` and ``IPV6_RECVERR`` from Linux's ``in.h`` and ``in6.h``.
_REPORTS = [(socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)] if sys.platform == "linux" else []


class HasFileno(Protocol):
    """
    A socket, or an object that has one.
    """

    def fileno(self) -> int:
        """
        Return its descriptor.
        """


def setLinger(stream: socket.socket, seconds: int) -> None:
    """
    Set ``SO_LINGER`` (socket(7)).

    :param seconds: how long a close waits; with 0 the close resets the connection.
    """
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, seconds))


def stopLingering(stream: socket.socket) -> None:
    """
    Clear ``SO_LINGER``: a close does not wait, and the kernel sends the rest.
    """
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 0, 0))


def queued(stream: HasFileno) -> int:
    """
    Return how many bytes the kernel keeps until the peer has acknowledged them
    (``SIOCOUTQ``, tcp(7)); 0 where the kernel does not tell.
    """
    return 0 if ioctl is None else _count(stream, TIOCOUTQ)


def unread(stream: HasFileno) -> int:
    """
    Return how many bytes the kernel keeps until we read them (``SIOCINQ``,
    tcp(7)); 0 where the kernel does not tell.
    """
    return 0 if ioctl is None else _count(stream, FIONREAD)


def _count(stream: HasFileno, request: int) -> int:
    try:
        return int.from_bytes(ioctl(stream.fileno(), request, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def mostFiles(most: int | None = None) -> int | None:
    """
    Return how many files may be open (``RLIMIT_NOFILE``, getrlimit(2)).

    :param most: the reactor's own limit, if it has one.
    :return: ``None`` where there is no limit.
    """
    if resource is None:
        return most
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [n for n in (limit, most) if n is not None and n != resource.RLIM_INFINITY]
    return min(limits, default=None)


def roomForScrapers(most: int | None = None) -> int:
    """
    Return how many connections for metrics there may be; the echo keeps that many files
    free for them.
    """
    return min(SCRAPERS, (mostFiles(most) or 8 * SCRAPERS) // 8)


def roomForConnections(most: int | None = None, reserved: int = 0) -> int | None:
    """
    Return how many connections the limit on open files leaves room for.

    :param most: the reactor's own limit, if it has one.
    :param reserved: files for other uses.
    :return: ``None`` where there is no limit.
    """
    limit = mostFiles(most)
    if limit is None:
        return None
    try:
        used = len(os.listdir("/dev/fd"))
    except OSError:  # in a chroot
        used = RESERVED_FILES
    return max(1, limit - used - RESERVED_FILES - reserved)


def ignoreReports(listener: socket.socket) -> None:
    """
    Turn off the kernel's reports of undelivered replies (``IP_RECVERR``, ip(7)): the
    report on one reply would make the next call fail.
    """
    for level, option in _REPORTS:
        with suppress(OSError):
            listener.setsockopt(level, option, 0)


def enlarge(listener: socket.socket) -> None:
    """
    Make the buffers of a datagram socket larger, as far as the system allows: datagrams that
    come while the process waits for a processor are answered later, not lost.
    """
    for size, forced in _BUFFERS:
        for option in (size, forced):
            if listener.getsockopt(socket.SOL_SOCKET, size) < 2 * DATAGRAM_BUFFER:
                with suppress(OSError):
                    listener.setsockopt(socket.SOL_SOCKET, option, DATAGRAM_BUFFER)


def openSpare() -> int | None:
    """
    Open a spare descriptor, which can be given up for another one; ``None`` without room.
    """
    try:
        if hasattr(os, "eventfd"):  # An eventfd needs no file; after chroot(2) there may be none.
            return os.eventfd(0)
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return None
