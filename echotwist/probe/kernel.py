"""
Read from Linux when it sent and received single packets, and ICMP errors about them.

Time stamps are by ``CLOCK_REALTIME``.  The kernel's
``Documentation/networking/timestamping.rst`` explains them, and ip(7) ICMP errors
(``IP_RECVERR``).
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
import sys
from contextlib import suppress
from typing import Any, NamedTuple

from echotwist.probe.receiver import Receiver, padded, receiver
from echotwist.sockets.packetinfo import controlsIn

#: ``SO_TIMESTAMPING``, which is also the type of the control messages, of Linux'
#: ``socket.h``; sparc and parisc have other numbers.
IS_LINUX = sys.platform == "linux" and not platform.machine().startswith(("sparc", "parisc"))
_TIMESTAMPING = 37 if IS_LINUX else None
#: ``SOF_TIMESTAMPING_``... of ``net_tstamp.h``: by software, both ways; tell of each
#: sent packet which it was, without its bytes; tell when it was queued; report.
_TX, _RX, _REPORT, _ID, _QUEUED, _ACKED, _BARE = (1 << n for n in (1, 3, 4, 7, 8, 9, 11))
_DATAGRAM = _TX | _RX | _REPORT | _ID | _QUEUED | _BARE
_STREAM = _DATAGRAM | _ACKED
#: Identifiers of a stream count from the next byte written (``OPT_ID_TCP``, Linux 6.2).
_ID_TCP = 1 << 16

#: ``IP_RECVERR`` of ``in.h`` and ``IPV6_RECVERR`` of ``in6.h``, with their levels.
_REPORTS = [(socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)] if IS_LINUX else []

#: Of a ``struct scm_timestamping`` with the header of cmsg(3): level, type, and the time by
#: software, in seconds and nanoseconds.
_STAMP = f"@{struct.calcsize('@N')}xiill"
#: ``struct sock_extended_err`` of ip(7): error, origin, type, code, padding, two numbers.
_ERROR = struct.Struct("@IBBBxII")
_FROM_HERE, _FROM_ICMP, _FROM_ICMP6, _FROM_STAMPS = 1, 2, 3, 4
#: The notice of a sent packet: that with two more times; and of the error, after its header,
#: the origin, what happened, and the number of the packet.
_ERROR_OF_SENT = f"{_STAMP}{struct.calcsize('@4lNiiI')}xB3xII"
_CAME, _SENT = map(padded, (_STAMP, _ERROR_OF_SENT))
_CAME_SIZE, _SENT_SIZE = map(struct.calcsize, (_STAMP, _ERROR_OF_SENT))
#: ``struct sockaddr_in`` and ``sockaddr_in6``: where the address begins, and its size.
_ADDRESSES = {socket.AF_INET: slice(4, 8), socket.AF_INET6: slice(8, 24)}
_FAMILY = struct.Struct("@H")

#: ``SO_MEMINFO`` of ``socket.h``, and where in it is what was dropped (``sock_diag.h``).
_MEMINFO, _DROPS = 55, 8

#: Notices that are read with one call, and bytes of a packet that ICMP gives back.
_AT_ONCE, _RETURNED = 64, 512
_ERRORS = getattr(socket, "MSG_ERRQUEUE", 0)

#: The event of a sent packet: it left, it was queued, all of it was acknowledged.
LEFT, QUEUED, ACKNOWLEDGED = 0, 1, 2

#: Errors after which the kernel has counted the packet that it did not send.
_COUNTED = (errno.EPERM, errno.ENOBUFS)

_MESSAGES = {
    (2, 3, 0): "network unreachable",
    (2, 3, 1): "host unreachable",
    (2, 3, 2): "protocol unreachable",
    (2, 3, 3): "port unreachable",
    (2, 3, 4): "fragmentation needed",
    (2, 3, 9): "network prohibited",
    (2, 3, 10): "host prohibited",
    (2, 3, 13): "prohibited",
    (2, 11, 0): "time to live exceeded",
    (2, 11, 1): "reassembly time exceeded",
    (3, 1, 0): "no route",
    (3, 1, 1): "prohibited",
    (3, 1, 3): "address unreachable",
    (3, 1, 4): "port unreachable",
    (3, 2, 0): "packet too big",
    (3, 3, 0): "hop limit exceeded",
    (3, 3, 1): "reassembly time exceeded",
    (3, 4, 1): "protocol unreachable",
}

#: The error of packets that are too large, with the largest size allowed.
_TOO_BIG = ("fragmentation needed", "packet too big")


class Report(NamedTuple):
    """
    An ICMP error.

    :param words: the error and its sender, in words.
    :param data: the beginning of the packet that it is about, as far as it is known.
    :param host: the sender of the error.
    :param mtu: how large a packet may be, if it was too big; 0 if the error does not tell.
    :param isTooBig: the packet was too big.
    :param to: the destination of the packet.
    """

    words: str
    data: bytes
    host: str = ""
    mtu: int = 0
    isTooBig: bool = False
    to: Any = None


class Limit(NamedTuple):
    """
    The largest packet that this host sends.

    :param mtu: its size in bytes.
    """

    mtu: int


def askForStamps(one: socket.socket, ofQueue: bool = True) -> bool:
    """
    Ask the kernel for time stamps of the packets of a socket.

    :param ofQueue: also ask when datagrams were queued.
    :return: whether the kernel gives them.
    """
    isStream = one.type == socket.SOCK_STREAM
    datagram = _DATAGRAM if ofQueue else _DATAGRAM & ~_QUEUED
    for flags in [_STREAM | _ID_TCP, _STREAM] if isStream else [datagram]:
        if _TIMESTAMPING is not None:
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, _TIMESTAMPING, flags)
                return True
    return False


def askForReports(one: socket.socket) -> None:
    """
    Ask the kernel for ICMP errors about the packets of a socket.
    """
    for level, option in _REPORTS:
        with suppress(OSError):
            one.setsockopt(level, option, 1)


def droppedHere(one: socket.socket) -> int:
    """
    Return how many packets the kernel dropped as the receive buffer was full.
    """
    with suppress(OSError, struct.error):
        told = one.getsockopt(socket.SOL_SOCKET, _MEMINFO, 64) if IS_LINUX else b""
        return int(struct.unpack_from("@I", told, 4 * _DROPS)[0])
    return 0


def countsAnyway(error: OSError) -> bool:
    """
    Tell whether the kernel gave a number to a packet that it did not send.
    """
    return error.errno in _COUNTED


def receivedAt(room: Receiver, count: int) -> list[int]:
    """
    Tell when packets came in, of which their first control messages tell; 0 if they do not.
    """
    found = zip(room.told, room.controls(_CAME, count), strict=False)
    return [
        seconds * 10**9 + rest
        if kind == _TIMESTAMPING and level == socket.SOL_SOCKET and told >= _CAME_SIZE
        else 0
        for told, (level, kind, seconds, rest) in found
    ]


#: The time of an event of a sent packet: ``LEFT``, ``QUEUED`` or ``ACKNOWLEDGED``; the
#: number of the packet, as the kernel counts; and nanoseconds of ``CLOCK_REALTIME``.
Stamp = tuple[int, int, int]

#: Any other notice of the kernel about a sent packet.
Notice = Report | Limit


def notices(one: socket.socket) -> tuple[list[Stamp], list[Notice]]:
    """
    Read all notices of the kernel about sent packets.
    """
    stamps: list[Stamp] = []
    others: list[Notice] = []
    count = _AT_ONCE if _ERRORS else 0
    with suppress(OSError):  # There are no more.
        while count == _AT_ONCE:
            room = receiver(_AT_ONCE, _RETURNED, _ERRORS)
            count = room.receive(one.fileno())
            _sort(room, count, stamps, others)
    return stamps, others


def nextNotice(one: socket.socket) -> Notice | None:
    """
    Read one notice of the kernel about a sent packet.

    :raise BlockingIOError: there is no notice.
    :return: ``None`` for a notice that is neither an ICMP error, nor a limit of this host.
    """
    if not _ERRORS:
        raise BlockingIOError
    room = receiver(1, _RETURNED, _ERRORS)
    room.receive(one.fileno())
    return _other(room, 0)


def _sort(room: Receiver, count: int, stamps: list[Stamp], others: list[Notice]) -> None:
    # Stamps are many, so they have no objects and no calls of their own.
    found = zip(room.told, room.controls(_SENT, count), strict=False)
    for number, (told, (level, kind, seconds, rest, origin, what, key)) in enumerate(found):
        isStamp = kind == _TIMESTAMPING and level == socket.SOL_SOCKET and origin == _FROM_STAMPS
        if isStamp and told >= _SENT_SIZE:
            stamps.append((what, key, seconds * 10**9 + rest))
        elif (other := _other(room, number)) is not None:
            others.append(other)


def _other(room: Receiver, number: int) -> Report | Limit | None:
    for level, kind, told in controlsIn(room.control(number)):
        if (level, kind) in _REPORTS:
            return _error(room, number, told)
    return None


def _error(room: Receiver, number: int, told: bytes) -> Report | Limit | None:
    error, origin, kind, code, info, _ = _ERROR.unpack_from(told)
    if origin in (_FROM_ICMP, _FROM_ICMP6):
        words = _MESSAGES.get((origin, kind, code), f"type {kind} code {code}")
        report = _icmp(words, room.packet(number), _hostOf(told[_ERROR.size :]), info)
        return Report(*report[:5], room.sender(number))
    return Limit(info) if (origin, error) == (_FROM_HERE, errno.EMSGSIZE) else None


def _icmp(words: str, data: bytes, host: str, info: int) -> Report:
    if words not in _TOO_BIG:
        return Report(f"ICMP {words} from {host}", data, host)
    return Report(f"ICMP {words} (MTU {info}) from {host}", data, host, info, isTooBig=True)


def _hostOf(address: bytes) -> str:
    [number] = _FAMILY.unpack_from(address)
    with suppress(ValueError):
        family = socket.AddressFamily(number)
        if family in _ADDRESSES:
            return socket.inet_ntop(family, address[_ADDRESSES[family]])
    return "somebody"
