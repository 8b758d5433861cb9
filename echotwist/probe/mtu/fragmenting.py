"""
Linux's socket options for fragmentation: ip(7), ipv6(7), and ``in.h`` and ``in6.h``.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from attrs import frozen

#: ``IP_PMTUDISC_...``: WANT fragments to the known path MTU; PROBE sets "don't fragment"
#: and ignores the known path MTU; OMIT fragments to the MTU of the network interface.
_WANT, _PROBE, _OMIT = 1, 3, 5

#: The smallest MTU of an IPv6 path (RFC 8200, section 5).
LEAST6 = 1280

_NUMBER = struct.Struct("@i")


@frozen
class Options:
    """
    The socket options of an address family.

    :param level: their level.
    :param discover: ``IP_MTU_DISCOVER``.
    :param pieces: ``IP_RECVFRAGSIZE``, which is also the type of its control messages.
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

    :param isWhole: with "don't fragment": neither this host nor a router may fragment it.
    :param pieces: bytes of its fragments; 0 for the MTU of the network interface.
    :param isAsTold: fragment to the path MTU that ICMP reported; IPv4 only.
    :param isByHand: this process makes the fragments, not the kernel; needs CAP_NET_RAW.
    """

    isWhole: bool = True
    pieces: int = 0
    isAsTold: bool = False
    isByHand: bool = False


def hearOfFragments(one: socket.socket) -> None:
    """
    Have the kernel report how large the fragments of each received datagram were.
    """
    options = OPTIONS[one.family]
    with suppress(OSError):  # Before Linux 4.15.
        one.setsockopt(options.level, options.pieces, 1)


def leave(one: socket.socket, how: How) -> None:
    """
    Set how the next datagrams of a socket leave.
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
    Return the size of the largest fragment of a datagram, with its header; 0 if the datagram
    came whole.
    """
    options = OPTIONS[one.family]
    for level, kind, data in control:
        if (level, kind) == (options.level, options.pieces):
            return int(_NUMBER.unpack_from(data)[0])
    return 0
