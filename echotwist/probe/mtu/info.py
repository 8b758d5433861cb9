"""
What Linux tells of a connection: ``TCP_INFO`` of tcp(7), ``struct tcp_info`` of ``tcp.h``.
"""

from __future__ import annotations

import socket
import struct

from attrs import frozen

#: ``TCP_INFO``, which Python knows on Linux alone.
_INFO: int | None = getattr(socket, "TCP_INFO", None)

#: Where in it each value is: options in use; segments sent, received, and on their way;
#: MTU of the path; what this side has announced; segments sent again; bytes.
_OPTIONS, _SEND, _RECEIVED, _UNACKED, _PMTU, _ANNOUNCED, _AGAIN = 5, 16, 20, 24, 60, 84, 100
_ACKNOWLEDGED = 120
_SIZE = 136

#: ``TCPI_OPT_TIMESTAMPS``, and bytes of that option in each segment (RFC 7323).
_TIMESTAMPS, _STAMP = 1, 12


@frozen
class Info:
    """
    What the kernel knows of a connection; sizes of segments are in bytes, with options of
    TCP but without headers, as in RFC 6691.

    :param mss: of segments that are sent.
    :param announced: that the other end was told to send at the most.
    :param received: of segments that came, the largest that the kernel is sure of.
    :param unacknowledged: segments that nobody has acknowledged.
    :param pmtu: bytes of a packet, as far as ICMP or a network interface say.
    :param again: segments that were sent again.
    :param acknowledged: bytes that the other end has.
    """

    mss: int
    announced: int
    received: int
    unacknowledged: int
    pmtu: int
    again: int
    acknowledged: int


def infoOf(one: socket.socket) -> Info | None:
    """
    Ask the kernel about a connection; nothing where it does not say.
    """
    if _INFO is None:
        return None
    return parsed(one.getsockopt(socket.IPPROTO_TCP, _INFO, 256))


def parsed(told: bytes) -> Info | None:
    """
    Read what it says (pure).
    """
    if len(told) < _SIZE:  # Before Linux 4.1.
        return None
    options = _STAMP if told[_OPTIONS] & _TIMESTAMPS else 0

    def at(place: int) -> int:
        return int(struct.unpack_from("@I", told, place)[0])

    return Info(
        mss=at(_SEND) + options,
        announced=at(_ANNOUNCED) + options,
        received=at(_RECEIVED) + options,
        unacknowledged=at(_UNACKED),
        pmtu=at(_PMTU),
        again=at(_AGAIN),
        acknowledged=int(struct.unpack_from("@Q", told, _ACKNOWLEDGED)[0]),
    )
