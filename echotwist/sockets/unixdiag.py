"""
Ask the kernel who owns a UNIX socket, and which sockets leave datagrams unread
(sock_diag(7)).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from echotwist.sockets import netlink

#: Seconds until a peer that the kernel does not show counts as a reader again, and until
#: we ask the kernel again about a peer that has not read.
UNSEEN_PAUSE, UNREAD_PAUSE = 0.1, 0.001

#: How many peers are remembered.
KNOWN_PEERS = 4096

#: ``SOCK_DIAG_BY_FAMILY``.
_BY_FAMILY = 20
#: ``UDIAG_SHOW_NAME``, ``..._RQLEN`` and ``..._UID``, and the attributes that they ask for.
_SHOW, _BOUND_NAME, _QUEUES, _USER = 0x01 | 0x10 | 0x40, 0, 4, 7
#: ``INET_DIAG_NOCOOKIE``, twice.
_ANY = 2**64 - 1

#: ``struct unix_diag_req``: family, states, inode, what to show, cookie.
_REQUEST = struct.Struct("=BxxxIIIQ")
#: ``struct unix_diag_msg``: family, type, state, inode, cookie.
_SOCKET = struct.Struct("=BBBxIQ")


class Peer(NamedTuple):
    """
    A UNIX socket, as the kernel describes it.

    :param inode: the number of its inode.
    :param name: the name that it is bound to; a file name ends with NUL.
    :param unread: bytes that it has not read; for datagrams, those of the first one.
    :param user: its owner; known from Linux 5.3 on.
    """

    inode: int
    name: bytes
    unread: int
    user: int | None


class Readers:
    """
    Ask the kernel who owns a peer's socket, and whether the peer reads.

    :param clock: returns the time in seconds.
    :ivar searches: how often all sockets were searched, which may take milliseconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._inodes: dict[bytes, int] = {}
        self._until: dict[bytes, float] = {}
        self.searches = 0

    def hasRead(self, name: bytes) -> bool:
        """
        Tell whether a peer has read all its datagrams, apart from empty ones.

        A peer that the kernel does not show (because it is in another network namespace, or
        the system is not Linux) counts as a reader now and then.
        """
        now = self._clock()
        if now < self._until.get(name, 0.0):
            return False
        peer = self._ask(name) or self._search(name, now)
        if peer is None:
            self._until[name] = now + UNSEEN_PAUSE
        elif peer.unread:
            self._until[name] = now + UNREAD_PAUSE
        return peer is None or not peer.unread

    def owner(self, name: bytes) -> int | None:
        """
        Return the user who owns the socket of a name, if there is one and the kernel tells.
        """
        peer = self._ask(name) or self._search(name, self._clock())
        return peer.user if peer else None

    def _ask(self, name: bytes) -> Peer | None:
        inode = self._inodes.get(name)
        return _find(name, inode) if inode else None

    def _search(self, name: bytes, now: float) -> Peer | None:
        self.searches += 1
        peer = _find(name)
        if len(self._inodes) >= KNOWN_PEERS:
            self._inodes.clear()
        if peer:
            self._inodes[name] = peer.inode
        self._until = {one: until for one, until in self._until.items() if until > now}
        return peer


def tellsOwners(listener: socket.socket) -> bool:
    """
    Tell whether the kernel names the owners of sockets that a listener can reach.
    """
    found = map(_parsed, _tell(os.fstat(listener.fileno()).st_ino))
    return any(peer.user is not None for peer in found)


def _find(name: bytes, inode: int = 0) -> Peer | None:
    """
    Ask the kernel for a datagram socket by its name.

    :param inode: the number of its inode, if known; otherwise all sockets are searched.
    :return: the socket; of two that had the name, the later one, which has it now.
    """
    # The name of a file ends with NUL; an abstract name begins with it.
    bound = name if name.startswith(b"\0") else name + b"\0"
    sought = netlink.attribute(_BOUND_NAME, bound)
    found = [_parsed(message) for message in _tell(inode, sought) if sought in message]
    return max((peer for peer in found if peer.name == bound), default=None)


def _tell(inode: int, sought: bytes = b"") -> list[bytes]:
    """
    Ask the kernel about one datagram socket, or about all.

    :param sought: leave out replies of the kernel that do not contain these bytes.
    :return: an empty list where the kernel does not tell.
    """
    try:
        told = [
            message
            for data in _told(inode)
            if sought in data
            for kind, message in netlink.messages(data)
            if kind == _BY_FAMILY  # and neither the last, nor an error
        ]
    except (OSError, AttributeError):  # not permitted, or not on Linux
        return []
    return [message for message in told if message[1] == socket.SOCK_DGRAM]


def _told(inode: int) -> Iterator[bytes]:
    request = _REQUEST.pack(socket.AF_UNIX, 0xFFFFFFFF, inode, _SHOW, _ANY)
    flags = netlink.ASK_ONE if inode else netlink.ASK_ALL
    diag = 4  # NETLINK_SOCK_DIAG, for which Python has no name
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, diag) as kernel,
        suppress(BlockingIOError),  # That was all.
    ):
        # The kernel answers within this call.
        os.write(kernel.fileno(), netlink.request(_BY_FAMILY, flags, request))
        yield os.read(kernel.fileno(), 2**16)
        while not inode:
            yield os.read(kernel.fileno(), 2**16)


def _parsed(message: bytes) -> Peer:
    *_, inode, _ = _SOCKET.unpack_from(message)
    name, unread, user = b"", 0, None
    for kind, value in netlink.attributes(message, _SOCKET.size):
        if kind == _BOUND_NAME:
            name = value
        elif kind == _QUEUES:
            unread, _ = struct.unpack("=II", value)
        elif kind == _USER:
            [user] = struct.unpack("=I", value)
    return Peer(inode, name, unread, user)
