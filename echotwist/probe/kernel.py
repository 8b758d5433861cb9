"""
What Linux tells of single packets: when it sent and received them, and what ICMP says.

Stamps are by ``CLOCK_REALTIME``.  They are explained in the kernel's
``Documentation/networking/timestamping.rst``, and ICMP errors in ip(7), ``IP_RECVERR``.
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

#: ``SO_TIMESTAMPING``, which is also the type of the control messages, of Linux'
#: ``socket.h``; sparc and parisc have other numbers.
_IS_LINUX = sys.platform == "linux" and not platform.machine().startswith(("sparc", "parisc"))
_TIMESTAMPING = 37 if _IS_LINUX else None
#: ``SOF_TIMESTAMPING_``... of ``net_tstamp.h``: by software, both ways; tell of each
#: sent packet which it was, without its bytes; tell when it was queued; report.
_TX, _RX, _REPORT, _ID, _QUEUED, _ACKED, _BARE = (1 << n for n in (1, 3, 4, 7, 8, 9, 11))
_DATAGRAM = _TX | _RX | _REPORT | _ID | _QUEUED | _BARE
_STREAM = _DATAGRAM | _ACKED
#: The identifier of a stream counts from what is written next (``OPT_ID_TCP``, Linux 6.2).
_ID_TCP = 1 << 16

#: ``IP_RECVERR`` of ``in.h`` and ``IPV6_RECVERR`` of ``in6.h``, with their levels.
_REPORTS = [(socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)] if _IS_LINUX else []

#: ``struct scm_timestamping``: three times, of which the first is by software.
_STAMP = struct.Struct("@ll")
#: ``struct sock_extended_err`` of ip(7): error, origin, type, code, padding, two numbers.
_ERROR = struct.Struct("@IBBBxII")
_FROM_HERE, _FROM_ICMP, _FROM_ICMP6, _FROM_STAMPS = 1, 2, 3, 4
#: ``struct sockaddr_in`` and ``sockaddr_in6``: where the address begins, and its size.
_ADDRESSES = {socket.AF_INET: slice(4, 8), socket.AF_INET6: slice(8, 24)}
_FAMILY = struct.Struct("@H")

#: ``SO_MEMINFO`` of ``socket.h``, and where in it is what was dropped (``sock_diag.h``).
_MEMINFO, _DROPS = 55, 8

#: Bytes of control messages to make room for.
ROOM = 512 if hasattr(socket.socket, "recvmsg") else 0
_ERRORS = getattr(socket, "MSG_ERRQUEUE", 0)

#: What a stamp tells of a sent packet: it left, it was queued, all of it was acknowledged.
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

#: What is said of packets that are too large, with how large they may be.
_TOO_BIG = ("fragmentation needed", "packet too big")


class Stamp(NamedTuple):
    """
    When something happened to a sent packet.

    :param what: ``LEFT``, ``QUEUED`` or ``ACKNOWLEDGED``.
    :param key: which packet it was, as the kernel counts.
    :param at: nanoseconds of ``CLOCK_REALTIME``.
    """

    what: int
    key: int
    at: int


class Report(NamedTuple):
    """
    What ICMP says.

    :param words: what, and from where.
    :param data: the beginning of the packet that it is about, as far as it is known.
    :param host: from where.
    :param mtu: how large a packet may be, if it was too big; 0 if that is not said.
    :param isTooBig: it was.
    :param to: where that one was sent to.
    """

    words: str
    data: bytes
    host: str = ""
    mtu: int = 0
    isTooBig: bool = False
    to: Any = None


class Limit(NamedTuple):
    """
    How large the packets are that this host sends.

    :param mtu: in bytes.
    """

    mtu: int


def askForStamps(one: socket.socket) -> bool:
    """
    Have the kernel stamp the packets of a socket.

    :return: whether it will.
    """
    isStream = one.type == socket.SOCK_STREAM
    for flags in [_STREAM | _ID_TCP, _STREAM] if isStream else [_DATAGRAM]:
        if _TIMESTAMPING is not None:
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, _TIMESTAMPING, flags)
                return True
    return False


def askForReports(one: socket.socket) -> None:
    """
    Have the kernel tell what ICMP says of the packets of a socket.
    """
    for level, option in _REPORTS:
        with suppress(OSError):
            one.setsockopt(level, option, 1)


def droppedHere(one: socket.socket) -> int:
    """
    Tell how many packets the kernel had no room for until they would be read.
    """
    with suppress(OSError, struct.error):
        told = one.getsockopt(socket.SOL_SOCKET, _MEMINFO, 64) if _IS_LINUX else b""
        return int(struct.unpack_from("@I", told, 4 * _DROPS)[0])
    return 0


def countsAnyway(error: OSError) -> bool:
    """
    Tell whether the kernel gave a number to a packet that it did not send.
    """
    return error.errno in _COUNTED


def receivedAt(control: Sequence[tuple[int, int, bytes]]) -> int:
    """
    Tell when a packet came in, by the control messages that it came with; 0 if they
    do not say.
    """
    for level, kind, data in control:
        if kind == _TIMESTAMPING and level == socket.SOL_SOCKET:
            seconds, rest = _STAMP.unpack_from(data)
            return int(seconds * 10**9 + rest)
    return 0


def nextNotice(one: socket.socket) -> Stamp | Report | Limit | None:
    """
    Read what the kernel has to tell of what was sent.

    :raise BlockingIOError: there is nothing.
    :return: nothing for what is neither a stamp, nor from ICMP, nor a size that this host
        does not send.
    """
    if not _ERRORS:
        raise BlockingIOError
    data, control, _, to = one.recvmsg(ROOM, ROOM, _ERRORS)
    at, told = 0, b""
    for level, kind, found in control:
        if level == socket.SOL_SOCKET and kind == _TIMESTAMPING:
            seconds, rest = _STAMP.unpack_from(found)
            at = seconds * 10**9 + rest
        elif (level, kind) in _REPORTS:
            told = found
    if not told:
        return None
    number, origin, kind, code, info, key = _ERROR.unpack_from(told)
    if origin == _FROM_STAMPS:
        return Stamp(info, key, at)
    if origin in (_FROM_ICMP, _FROM_ICMP6):
        words = _MESSAGES.get((origin, kind, code), f"type {kind} code {code}")
        return _icmp(words, data, _hostOf(told[_ERROR.size :]), info)._replace(to=to)
    return Limit(info) if (origin, number) == (_FROM_HERE, errno.EMSGSIZE) else None


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
