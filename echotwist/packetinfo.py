"""
Which local address a datagram was sent to, and how to answer from it.

A socket bound to every address of a machine answers, unless it is told
otherwise, from whichever address the kernel's routing prefers.  A peer that
asked another address never takes such a reply.  ``IP_PKTINFO`` (ip(7)) and
``IPV6_PKTINFO`` (RFC 3542, section 6) tell the asked address with each
datagram, and set the source address of each reply.

Linux and macOS have both.  Where they or ``recvmsg`` are missing nothing is
asked for, and replies leave as the kernel likes.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

#: Python has no name for it; from Linux's ``in.h`` and macOS' ``netinet/in.h``.
_IP_PKTINFO = {"linux": 8, "darwin": 26}.get(sys.platform)
_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", None)
_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", None)

#: ``struct in_pktinfo``: interface, address to answer from, address asked.
_V4 = struct.Struct("@I4s4s")
#: ``struct in6_pktinfo``: address asked, interface.
_V6 = struct.Struct("@16sI")

#: One control message: level, type and data, as recvmsg(2) and sendmsg(2) have it.
Control = tuple[int, int, bytes]


def ask(listener: socket.socket) -> None:
    """
    Have the kernel tell the asked address of each datagram, where it can.
    """
    if listener.family == socket.AF_INET6 and _IPV6_RECVPKTINFO is not None:
        listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    elif listener.family == socket.AF_INET and _IP_PKTINFO is not None:
        listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def answering(received: list[Control]) -> list[Control]:
    """
    Turn what recvmsg(2) told about a datagram into what makes sendmsg(2)
    answer it from the address that it was sent to.

    The interface is left to the routing table, except for link-local
    addresses, which mean nothing without it.
    """
    for level, kind, data in received:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, source, _ = _V4.unpack(data[: _V4.size])
            return [(level, kind, _V4.pack(0, source, source))]
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            asked, interface = _V6.unpack(data[: _V6.size])
            if not (asked[0] == 0xFE and asked[1] & 0xC0 == 0x80):  # fe80::/10
                interface = 0
            return [(level, kind, _V6.pack(asked, interface))]
    return []


def _receive(listener: socket.socket, largest: int) -> tuple[bytes, list[Control], Any]:
    """
    Receive a datagram.

    :param largest: bytes to make room for.
    :return: the datagram, what to pass to :func:`send` with the reply, and
        where it came from.
    """
    datagram, told, _, peer = listener.recvmsg(largest, _ROOM)
    return datagram, answering(told), peer


def _send(listener: socket.socket, datagram: bytes, answering: list[Control], peer: Any) -> None:
    """
    Send a datagram, from the address that :func:`receive` told of.
    """
    listener.sendmsg((datagram,), answering, 0, peer)


def _receivePlainly(listener: socket.socket, largest: int) -> tuple[bytes, list[Control], Any]:
    datagram, peer = listener.recvfrom(largest)
    return datagram, [], peer


def _sendPlainly(
    listener: socket.socket, datagram: bytes, answering: list[Control], peer: Any
) -> None:
    listener.sendto(datagram, peer)


if hasattr(socket.socket, "recvmsg"):
    #: Bytes of control messages to make room for in recvmsg(2).
    _ROOM = socket.CMSG_SPACE(_V4.size) + socket.CMSG_SPACE(_V6.size)
    receive, send = _receive, _send
else:  # Windows
    receive, send = _receivePlainly, _sendPlainly
