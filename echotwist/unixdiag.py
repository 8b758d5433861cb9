"""
Who leaves UNIX datagrams unread (sock_diag(7)).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from echotwist.kernel import HasFileno

#: ``SOCK_DIAG_BY_FAMILY``; ``NLM_F_REQUEST | NLM_F_DUMP`` of netlink(7).
_BY_FAMILY, _DUMP = 20, 0x301
#: ``UDIAG_SHOW_NAME``, ``..._PEER`` and ``..._RQLEN``.
_SHOW = 0x01 | 0x04 | 0x10
#: The attributes that these bring.
_NAME, _PEER, _QUEUES = 0, 2, 4

#: ``struct nlmsghdr``: size, type, flags, two numbers.
_HEADER = struct.Struct("=IHHII")
#: ``struct unix_diag_req``: family, states, inode, what to show, cookie.
_REQUEST = struct.Struct("=BxxxIIIQ")
#: ``struct unix_diag_msg``: family, type, state, inode, cookie.
_SOCKET = struct.Struct("=BBBxIQ")
#: ``struct nlattr``: size and type.
_ATTRIBUTE = struct.Struct("=HH")


def unreading(listener: HasFileno) -> frozenset[bytes]:
    """
    Find the peers that are connected to a socket and have something unread.

    :return: their names; of none, where the kernel does not say.
    """
    inode = os.fstat(listener.fileno()).st_ino
    try:
        return frozenset(
            name for name, peer, unread in _sockets() if peer == inode and unread and name
        )
    except (OSError, AttributeError):  # not permitted, or not on Linux
        return frozenset()


def _sockets() -> Iterator[tuple[bytes, int, int]]:
    """
    Give name, peer and unread bytes of all UNIX sockets.
    """
    request = _REQUEST.pack(socket.AF_UNIX, 0xFFFFFFFF, 0, _SHOW, 0)
    header = _HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _DUMP, 1, 0)
    diag = 4  # NETLINK_SOCK_DIAG, for which Python has no name
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, diag) as kernel:
        kernel.settimeout(1)
        kernel.send(header + request)
        while True:
            for kind, message in _messages(kernel.recv(2**16)):
                if kind != _BY_FAMILY:  # the last, or an error
                    return
                yield _read(message)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        size, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : size]
        data = data[_padded(size) :]


def _read(message: bytes) -> tuple[bytes, int, int]:
    name, peer, unread = b"", 0, 0
    at = _SOCKET.size
    while at + _ATTRIBUTE.size <= len(message):
        size, kind = _ATTRIBUTE.unpack_from(message, at)
        value = message[at + _ATTRIBUTE.size : at + size]
        if kind == _NAME:
            # One of a file may end with NUL; an abstract one begins with it.
            name = value if value.startswith(b"\0") else value.rstrip(b"\0")
        elif kind == _PEER:
            [peer] = struct.unpack("=I", value)
        elif kind == _QUEUES:
            unread, _ = struct.unpack("=II", value)
        at += _padded(max(size, _ATTRIBUTE.size))
    return name, peer, unread


def _padded(size: int) -> int:
    return (size + 3) & ~3
