"""
Read ``TCP_INFO``, the kernel's data on a connection (tcp(7), ``struct tcp_info``).
"""

from __future__ import annotations

import socket
import struct

from attrs import frozen

#: ``TCP_INFO``, which Python defines on Linux only.
_INFO: int | None = getattr(socket, "TCP_INFO", None)

#: Offsets in ``struct tcp_info``: options in use; MSS for sending and for receiving; segments
#: not acknowledged; path MTU; MSS announced; segments retransmitted; bytes acknowledged.
_OPTIONS, _SEND, _RECEIVED, _UNACKED, _PMTU, _ANNOUNCED, _AGAIN = 5, 16, 20, 24, 60, 84, 100
_ACKNOWLEDGED = 120
_SIZE = 136

#: ``TCPI_OPT_TIMESTAMPS``, and bytes of that option in each segment (RFC 7323).
_TIMESTAMPS, _STAMP = 1, 12


@frozen
class Info:
    """
    The kernel's data on a connection. Sizes of segments are in bytes, with TCP options but
    without headers, as in RFC 6691.

    :param mss: the largest segment that this side sends.
    :param announced: the MSS that this side announced.
    :param received: the kernel's estimate of the largest segment that the peer sends.
    :param unacknowledged: segments that the peer has not acknowledged.
    :param pmtu: the path MTU in bytes, from ICMP or from the network interface.
    :param again: segments that were retransmitted.
    :param acknowledged: bytes that the peer has acknowledged.
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
    Ask the kernel about a connection; ``None`` if the system has no ``TCP_INFO``.
    """
    if _INFO is None:
        return None
    return parsed(one.getsockopt(socket.IPPROTO_TCP, _INFO, 256))


def parsed(told: bytes) -> Info | None:
    """
    Parse a ``struct tcp_info`` (pure); ``None`` if it is too short.
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
