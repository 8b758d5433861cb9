"""
Make fragments by hand: a kernel does not fragment a packet that fits its interface's MTU.
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

#: IP protocols of raw sockets: 255 (IPPROTO_RAW), where we write the IPv4 header ourselves
#: (raw(7)); 44, an IPv6 fragment (RFC 8200, section 4.5).
_RAW, _FRAGMENT = 255, 44

#: The IPv4 header, bytes of the IPv6 header, the IPv6 fragment header, and the UDP header.
_FOUR, _SIX, _PIECE = struct.Struct("!BBHHHBBH4s4s"), 40, struct.Struct("!BxHI")
_UDP = struct.Struct("!HHHH")

_MORE, _HOPS = 0x2000, 64


class HandMade:
    """
    Send UDP datagrams in fragments of any size.

    :param source: the source address and port of the datagrams.
    :param place: the destination.
    :param way: how packets leave this host.
    :raise ProbeError: the system does not let this process open a raw socket.
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

        :param most: bytes of each fragment at most, with its IP header.
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
    Open a sender of handmade fragments; ``None`` if this process may not open raw sockets.
    """
    try:
        return HandMade(source, place, way)
    except ProbeError:
        return None


def pieces(datagram: bytes, most: int) -> Iterator[tuple[int, bytes, bool]]:
    """
    Cut a datagram (pure).

    :param most: bytes of each piece at most.
    :return: for each piece: its offset in bytes, its bytes, and whether it is the last.
    """
    step = most // 8 * 8
    for start in range(0, len(datagram), step):
        yield start, datagram[start : start + step], start + step >= len(datagram)


def withHeader(source: bytes, target: bytes, sourcePort: int, port: int, data: bytes) -> bytes:
    """
    Put a UDP header before data, with its checksum (RFC 768; RFC 8200, section 8.1).

    :param source: the source address, as bytes.
    :param target: the destination address, as bytes.
    """
    size = _UDP.size + len(data)
    pseudo = source + target + struct.pack("!IxxxB", size, socket.IPPROTO_UDP)
    total = _sum(pseudo + _UDP.pack(sourcePort, port, size, 0) + data)
    return _UDP.pack(sourcePort, port, size, ~total & 0xFFFF or 0xFFFF) + data


def _sum(data: bytes) -> int:
    """
    Add 16-bit words in ones' complement (RFC 1071).
    """
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
