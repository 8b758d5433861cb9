"""
What Linux lets a socket say of fragments: ip(7), ipv6(7), and ``in.h`` and ``in6.h``.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from attrs import frozen

#: ``..._PMTUDISC_``...: fragments as large as the path is said to carry; "don't fragment",
#: whatever it is said to carry; fragments as large as the network interface carries.
_WANT, _PROBE, _OMIT = 1, 3, 5

#: The least that a path of IPv6 carries (RFC 8200, section 5).
LEAST6 = 1280

_NUMBER = struct.Struct("@i")


@frozen
class Options:
    """
    The options of a family of addresses.

    :param level: of them.
    :param discover: ``IP_MTU_DISCOVER``.
    :param pieces: ``IP_RECVFRAGSIZE``, also the type of its control messages.
    :param header: bytes of the headers of IP and UDP.
    """

    level: int
    discover: int
    pieces: int
    header: int


OPTIONS = {
    socket.AF_INET: Options(socket.IPPROTO_IP, 10, 25, 28),
    socket.AF_INET6: Options(socket.IPPROTO_IPV6, 23, 77, 48),
}
#: ``IPV6_MTU`` and ``IPV6_DONTFRAG``.
_MTU6, _WHOLE6 = 24, 62


@frozen
class How:
    """
    How a datagram leaves.

    :param isWhole: neither this host nor a router may fragment it.
    :param pieces: bytes of its fragments; 0 for what the network interface carries.
    :param isAsTold: fragments are as large as ICMP said; of IPv4 alone.
    :param isByHand: they are made here, not by the kernel, which needs CAP_NET_RAW.
    """

    isWhole: bool = True
    pieces: int = 0
    isAsTold: bool = False
    isByHand: bool = False


def hearOfFragments(one: socket.socket) -> None:
    """
    Have the kernel tell how large the fragments of a datagram were.
    """
    options = OPTIONS[one.family]
    with suppress(OSError):  # Before Linux 4.15.
        one.setsockopt(options.level, options.pieces, 1)


def leave(one: socket.socket, how: How) -> None:
    """
    Have the next datagrams of a socket leave so.
    """
    options = OPTIONS[one.family]
    apart = _WANT if how.isAsTold else _OMIT
    one.setsockopt(options.level, options.discover, _PROBE if how.isWhole else apart)
    if one.family == socket.AF_INET6:
        one.setsockopt(options.level, _WHOLE6, how.isWhole)
        if how.pieces:
            one.setsockopt(options.level, _MTU6, how.pieces)


def piecesOf(one: socket.socket, control: Sequence[tuple[int, int, bytes]]) -> int:
    """
    Tell how large the largest fragment of a datagram was, with its header; 0 if it came
    whole.
    """
    options = OPTIONS[one.family]
    for level, kind, data in control:
        if (level, kind) == (options.level, options.pieces):
            return int(_NUMBER.unpack_from(data)[0])
    return 0
