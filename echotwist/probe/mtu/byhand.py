"""
Fragments that are made by hand: kernels make none of what fits into a packet.
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from echotwist.probe.dialing import opened
from echotwist.probe.places import Place, ProbeError, Way
from echotwist.probe.target import Target

#: Protocols: what is written has its header of IPv4 (raw(7)); a fragment of IPv6 (RFC 8200,
#: section 4.5).
_RAW, _FRAGMENT = 255, 44

#: The headers of IPv4, of IPv6 and of a fragment of IPv6, and that of UDP.
_FOUR, _SIX, _PIECE = struct.Struct("!BBHHHBBH4s4s"), 40, struct.Struct("!BxHI")
_UDP = struct.Struct("!HHHH")

_MORE, _HOPS = 0x2000, 64


class HandMade:
    """
    Send UDP datagrams in fragments of any size.

    :param source: address and port that they come from.
    :param place: where they go.
    :param way: how packets leave.
    :raise ProbeError: this process may not.
    """

    def __init__(self, source: Any, place: Place, way: Way) -> None:
        self._isSix = place.family == socket.AF_INET6
        self._source, self._place, self._way = source, place, way
        address = (place.address[0], 0, *place.address[2:])
        target = Target("raw", address[0], _FRAGMENT if self._isSix else _RAW)
        self._socket = opened(target, Place(place.family, address), way)

    def send(self, data: bytes, most: int) -> None:
        """
        Send a datagram.

        :param most: bytes of a fragment.
        """
        number = secrets.randbits(16) | 1
        ends = [ip_address(one[0].partition("%")[0]).packed for one in self._ends]
        datagram = withHeader(ends[0], ends[1], self._source[1], self._place.address[1], data)
        header = _SIX + _PIECE.size if self._isSix else _FOUR.size
        for start, piece, isLast in pieces(datagram, most - header):
            self._socket.send(self._headerOf(ends, number, start, len(piece), isLast) + piece)

    @property
    def _ends(self) -> tuple[Any, Any]:
        return self._source, self._place.address

    def _headerOf(
        self, ends: list[bytes], number: int, start: int, size: int, isLast: bool
    ) -> bytes:
        if self._isSix:
            return _PIECE.pack(socket.IPPROTO_UDP, start | (not isLast), number)
        way, flags = self._way, 0 if isLast else _MORE
        return _FOUR.pack(
            0x45,
            (way.dscp or 0) << 2,
            _FOUR.size + size,
            number,
            flags | start // 8,
            way.hopLimit or _HOPS,
            socket.IPPROTO_UDP,
            0,
            *ends,
        )

    def close(self) -> None:
        """
        Close the socket.
        """
        self._socket.close()


def handMade(source: Any, place: Place, way: Way) -> HandMade | None:
    """
    Make what sends fragments, if this process may.
    """
    try:
        return HandMade(source, place, way)
    except ProbeError:
        return None


def pieces(datagram: bytes, most: int) -> Iterator[tuple[int, bytes, bool]]:
    """
    Cut a datagram (pure).

    :param most: bytes of each piece.
    :return: of each where it begins, its bytes, and whether it is the last.
    """
    step = most // 8 * 8
    for start in range(0, len(datagram), step):
        yield start, datagram[start : start + step], start + step >= len(datagram)


def withHeader(source: bytes, target: bytes, sourcePort: int, port: int, data: bytes) -> bytes:
    """
    Put the header of UDP before data, with its checksum (RFC 768; RFC 8200, section 8.1).

    :param source: the address, as bytes.
    :param target: the other one.
    """
    size = _UDP.size + len(data)
    pseudo = source + target + struct.pack("!IxxxB", size, socket.IPPROTO_UDP)
    total = _sum(pseudo + _UDP.pack(sourcePort, port, size, 0) + data)
    return _UDP.pack(sourcePort, port, size, ~total & 0xFFFF or 0xFFFF) + data


def _sum(data: bytes) -> int:
    """
    Add up 16 bits at a time, in ones' complement (RFC 1071).
    """
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
