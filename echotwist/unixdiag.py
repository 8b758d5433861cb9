"""
Who leaves UNIX datagrams unread (sock_diag(7)).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

#: Seconds until who is out of sight is believed again, and until one who has not
#: read is asked about again.
PAUSE, MOMENT = 0.1, 0.001

#: ``SOCK_DIAG_BY_FAMILY``; ``NLM_F_REQUEST`` and ``NLM_F_DUMP`` of netlink(7).
_BY_FAMILY, _ONE, _ALL = 20, 0x001, 0x301
#: ``UDIAG_SHOW_NAME`` and ``..._RQLEN``, and the attributes that they bring.
_SHOW, _NAME, _QUEUES = 0x01 | 0x10, 0, 4
#: ``INET_DIAG_NOCOOKIE``, twice.
_ANY = 2**64 - 1

#: ``struct nlmsghdr``: size, type, flags, two numbers.
_HEADER = struct.Struct("=IHHII")
#: ``struct unix_diag_req``: family, states, inode, what to show, cookie.
_REQUEST = struct.Struct("=BxxxIIIQ")
#: ``struct unix_diag_msg``: family, type, state, inode, cookie.
_SOCKET = struct.Struct("=BBBxIQ")
#: ``struct nlattr``: size and type.
_ATTRIBUTE = struct.Struct("=HH")


class Peer(NamedTuple):
    """
    A UNIX socket, as the kernel tells of it.

    :param inode: its number.
    :param name: what it is bound to.
    :param unread: bytes that wait for it; of datagrams, those of the first.
    """

    inode: int
    name: bytes
    unread: int


class Readers:
    """
    Know who reads, by asking the kernel.

    :param clock: tells the time in seconds.
    :ivar looks: how often all sockets were looked at, which may take milliseconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._inodes: dict[bytes, int] = {}
        self._until: dict[bytes, float] = {}
        self.looks = 0

    def hasRead(self, name: bytes) -> bool:
        """
        Tell whether somebody has read all that came, the empty ones apart.

        Who is out of sight (in another network namespace, or not on Linux) is
        believed to, now and then.
        """
        now = self._clock()
        if now < self._until.get(name, 0.0):
            return False
        peer = self._ask(name) or self._look(name, now)
        if peer is None:
            self._until[name] = now + PAUSE
        elif peer.unread:
            self._until[name] = now + MOMENT
        return peer is None or not peer.unread

    def _ask(self, name: bytes) -> Peer | None:
        inode = self._inodes.get(name)
        found = _peers(inode) if inode else []
        return next((peer for peer in found if peer.name == name), None)

    def _look(self, name: bytes, now: float) -> Peer | None:
        self.looks += 1
        # Of two that had the same name the later has it.
        found = {peer.name: peer for peer in sorted(_peers())}
        self._inodes = {one: peer.inode for one, peer in found.items()}
        self._until = {one: until for one, until in self._until.items() if until > now}
        return found.get(name)


def _peers(inode: int = 0) -> list[Peer]:
    """
    Ask the kernel for a socket, or for all.

    :return: nothing where it does not tell.
    """
    try:
        return list(_told(inode))
    except (OSError, AttributeError):  # not permitted, or not on Linux
        return []


def _told(inode: int) -> Iterator[Peer]:
    request = _REQUEST.pack(socket.AF_UNIX, 0xFFFFFFFF, inode, _SHOW, _ANY)
    flags = _ONE if inode else _ALL
    header = _HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, flags, 1, 0)
    diag = 4  # NETLINK_SOCK_DIAG, for which Python has no name
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, diag) as kernel:
        kernel.send(header + request)  # which is when it is answered
        while True:
            for kind, message in _messages(kernel.recv(2**16)):
                if kind != _BY_FAMILY:  # the last, or an error
                    return
                yield _read(message)
            if inode:
                return


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        size, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : size]
        data = data[_padded(size) :]


def _read(message: bytes) -> Peer:
    *_, inode, _ = _SOCKET.unpack_from(message)
    name, unread = b"", 0
    at = _SOCKET.size
    while at + _ATTRIBUTE.size <= len(message):
        size, kind = _ATTRIBUTE.unpack_from(message, at)
        value = message[at + _ATTRIBUTE.size : at + size]
        if kind == _NAME:
            # One of a file may end with NUL; an abstract one begins with it.
            name = value if value.startswith(b"\0") else value.rstrip(b"\0")
        elif kind == _QUEUES:
            unread, _ = struct.unpack("=II", value)
        at += _padded(max(size, _ATTRIBUTE.size))
    return Peer(inode, name, unread)


def _padded(size: int) -> int:
    return (size + 3) & ~3
