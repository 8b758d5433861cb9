"""
Find the local address that a datagram was sent to, and answer from it.

A socket that is bound to every address of a machine answers from the address
that the kernel's routing prefers.  A peer that sent to another address does not
accept such a reply.  ``IP_PKTINFO`` (ip(7)) and
``IPV6_PKTINFO`` (RFC 3542, section 6) tell the asked address with each
datagram, and set the source address of each reply.

Linux and macOS have both.  Where they or ``recvmsg`` are missing, the kernel
chooses the source address of replies.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import lru_cache
from typing import Any

from echotwist.sockets.addresses import SocketName

#: From Linux's ``in.h`` and macOS's ``netinet/in.h``; Python has no name for it.
_IP_PKTINFO = {"linux": 8, "darwin": 26}.get(sys.platform)
_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", None)
_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", None)

#: The same, from Linux's ``in6.h``; ipv6(7) does not know it, ip(7) explains ``IP_FREEBIND``.
_IPV6_FREEBIND = 78 if sys.platform == "linux" else None

#: ``struct in_pktinfo``: interface, address to answer from, address asked.
_V4 = struct.Struct("@I4s4s")
#: ``struct in6_pktinfo``: address asked, interface.
_V6 = struct.Struct("@16sI")

#: No IPv4 address; and the first byte of multicast and higher addresses (RFC 5771).
_NONE, _GROUPS = bytes(4), 224

#: One control message: level, type and data, in the form of recvmsg(2) and sendmsg(2).
Control = tuple[int, int, bytes]

#: A datagram, its source, the control messages to pass to :func:`send` with the reply,
#: and whether it was sent to a multicast or broadcast address.
Received = tuple[bytes, SocketName, list[Control], bool]


#: ``struct cmsghdr`` of cmsg(3): size with this header, level and type; each begins at a
#: multiple of a word.
_CMSG, _ALIGNMENT = struct.Struct("@Nii"), struct.calcsize("@N")


@lru_cache(maxsize=4096)
def nameFrom(name: bytes) -> tuple[Any, ...]:
    """
    Turn a ``struct sockaddr`` of IPv4 or IPv6 into what ``recvfrom`` would return.
    """
    [family] = struct.unpack_from("@H", name)
    [port] = struct.unpack_from("!H", name, 2)
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, name[4:8]), port
    [flow] = struct.unpack_from("!I", name, 4)
    [scope] = struct.unpack_from("@I", name, 24)
    return socket.inet_ntop(socket.AF_INET6, name[8:24]), port, flow & 0xFFFFF, scope


def controlsIn(told: bytes) -> Iterator[Control]:
    """
    Split the control messages of recvmsg(2); zeros may follow them.
    """
    start = 0
    while start + _CMSG.size <= len(told):
        size, level, kind = _CMSG.unpack_from(told, start)
        if size < _CMSG.size:
            break
        yield level, kind, told[start + _CMSG.size : start + size]
        start += -(-size // _ALIGNMENT) * _ALIGNMENT


def packed(control: Control) -> bytes:
    """
    Encode a control message for sendmsg(2).
    """
    level, kind, data = control
    return _CMSG.pack(_CMSG.size + len(data), level, kind) + data + bytes(-len(data) % _ALIGNMENT)


def ask(listener: socket.socket) -> None:
    """
    Let the kernel tell the asked address of each datagram, where it can.
    """
    if listener.family == socket.AF_INET6 and _IPV6_RECVPKTINFO is not None:
        listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    if _IP_PKTINFO is not None:
        # On a dual-stack socket this option also reports broadcasts; the other one does not.
        with nullcontext() if listener.family == socket.AF_INET else suppress(OSError):
            listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def answerFromAny(listener: socket.socket) -> None:
    """
    Allow replies from the asked address even if no network interface has it: a whole
    network may be routed to a host (``ip -6 route add local``).  For IPv4 the kernel
    allows that by itself.

    Call this only for a bound socket: another one could bind to an address that is not
    ours.
    """
    if listener.family == socket.AF_INET6 and _IPV6_FREEBIND is not None:
        with suppress(OSError):  # Linux before 4.15 does not have the option.
            listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)


@lru_cache(maxsize=1024)
def answering(level: int, kind: int, data: bytes) -> tuple[list[Control], bool]:
    """
    Turn a control message of recvmsg(2) into those that make sendmsg(2)
    answer from the address that the datagram was sent to.

    The routing table chooses the interface, except for link-local addresses, which mean
    nothing without one.

    :return: these, and whether the address was a multicast or broadcast address.
    """
    if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
        _, source, asked = _V4.unpack(data[: _V4.size])
        if source == _NONE:
            # The datagram came before ask() was called: systemd opens sockets earlier.
            return [(level, kind, _V4.pack(0, asked, asked))], asked[0] >= _GROUPS
        # The two differ when the asked address is not one of ours.
        return [(level, kind, _V4.pack(0, source, source))], source != asked
    if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
        asked, interface = _V6.unpack(data[: _V6.size])
        if not (asked[0] == 0xFE and asked[1] & 0xC0 == 0x80):  # fe80::/10
            interface = 0
        return [(level, kind, _V6.pack(asked, interface))], asked[0] == 0xFF  # ff00::/8
    return [], False


def _receive(listener: socket.socket, largest: int) -> Received:
    """
    Receive a datagram.

    :param largest: bytes to make room for.
    """
    datagram, told, _, peer = listener.recvmsg(largest, ROOM)
    # For IPv4 a dual-stack socket gives two messages; the last one is that of IPv4.
    control, toGroup = answering(*told[-1]) if told else ([], False)
    return datagram, peer, control, toGroup


def _send(
    listener: socket.socket, datagram: bytes, answering: list[Control], peer: SocketName | None
) -> None:
    """
    Send a datagram from the address that :func:`receive` returned.
    """
    listener.sendmsg((datagram,), answering, 0, peer)


def _receivePlainly(listener: socket.socket, largest: int) -> Received:
    datagram, peer = listener.recvfrom(largest)
    return datagram, peer, [], False


def _sendPlainly(
    listener: socket.socket, datagram: bytes, answering: list[Control], peer: Any
) -> None:
    listener.sendto(datagram, peer)


if hasattr(socket.socket, "recvmsg"):
    #: Bytes of control messages to make room for in recvmsg(2).
    ROOM = socket.CMSG_SPACE(_V4.size) + socket.CMSG_SPACE(_V6.size)
    receive, send = _receive, _send
else:  # Windows
    receive, send = _receivePlainly, _sendPlainly
