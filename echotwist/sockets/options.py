"""
What the kernel holds of a connection, and how many connections there may be.
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

#: ``struct linger``: two integers, but short ones on Windows.
_LINGER = "hh" if sys.platform == "win32" else "ii"

#: Files that stay free for everything else: logs, a spare one.
RESERVED_FILES = 16

#: Connections for metrics at a time; fewer where there are few files.
SCRAPERS = 32


#: ``IP_RECVERR`` and ``IPV6_RECVERR`` of Linux' ``in.h`` and ``in6.h``.
_REPORTS = [(socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)] if sys.platform == "linux" else []


class HasFileno(Protocol):
    """
    A socket, or an object that has one.
    """

    def fileno(self) -> int:
        """
        Give its descriptor.
        """


def setLinger(stream: socket.socket, seconds: int) -> None:
    """
    Set ``SO_LINGER`` (socket(7)).

    :param seconds: how long a close waits; with 0 it resets the connection.
    """
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, seconds))


def stopLingering(stream: socket.socket) -> None:
    """
    Clear ``SO_LINGER``: close does not wait, and the kernel sends the rest.
    """
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 0, 0))


def queued(stream: HasFileno) -> int:
    """
    Tell how many bytes the kernel keeps until the peer has taken them
    (``SIOCOUTQ``, tcp(7)); 0 where it does not say.
    """
    return 0 if ioctl is None else _count(stream, TIOCOUTQ)


def unread(stream: HasFileno) -> int:
    """
    Tell how many bytes the kernel keeps until we read them (``SIOCINQ``,
    tcp(7)); 0 where it does not say.
    """
    return 0 if ioctl is None else _count(stream, FIONREAD)


def _count(stream: HasFileno, request: int) -> int:
    try:
        return int.from_bytes(ioctl(stream.fileno(), request, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def mostFiles(most: int | None = None) -> int | None:
    """
    Tell how many files may be open (``RLIMIT_NOFILE``, getrlimit(2)).

    :param most: a limit that the reactor has itself, if any.
    :return: ``None`` where there is no limit.
    """
    if resource is None:
        return most
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [n for n in (limit, most) if n is not None and n != resource.RLIM_INFINITY]
    return min(limits, default=None)


def roomForScrapers(most: int | None = None) -> int:
    """
    Tell how many connections for metrics there may be; the echo leaves as many files
    to them.
    """
    return min(SCRAPERS, (mostFiles(most) or 8 * SCRAPERS) // 8)


def roomForConnections(most: int | None = None, reserved: int = 0) -> int | None:
    """
    Tell how many connections the limit on open files leaves room for.

    :param most: a limit that the reactor has itself, if any.
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
    Have the kernel not report that replies did not arrive (``IP_RECVERR``, ip(7)): the
    report on one would make another fail.
    """
    for level, option in _REPORTS:
        with suppress(OSError):
            listener.setsockopt(level, option, 0)


def openSpare() -> int | None:
    """
    Open a descriptor that can be given up for another one; none if there is no room.
    """
    try:
        if hasattr(os, "eventfd"):  # It needs no file; after chroot(2) there may be none.
            return os.eventfd(0)
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return None
