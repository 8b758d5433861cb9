"""
Captures of packets, read (pcap-savefile(5)).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: The beginning of a file whose times are in nanoseconds, as this machine writes it.
_NANOSECONDS = 0xA1B23C4D

_FILE = struct.Struct("=IHHiIII")
_PACKET = struct.Struct("=IIII")

#: Bytes of the headers of Ethernet, of IPv4 without options, and of UDP.
_ETHERNET, _IP, _UDP = 14, 20, 8


class Datagram(NamedTuple):
    """
    A UDP datagram over IPv4, as it passed by.

    :param at: nanoseconds of ``CLOCK_REALTIME``.
    """

    at: int
    sourcePort: int
    port: int
    payload: bytes


def datagrams(path: Path) -> Iterator[Datagram]:
    """
    Read those that are whole in the file by now.
    """
    data = path.read_bytes()
    if len(data) < _FILE.size:
        return
    assert _FILE.unpack_from(data)[0] == _NANOSECONDS
    start = _FILE.size
    while start + _PACKET.size <= len(data):
        seconds, rest, size, _ = _PACKET.unpack_from(data, start)
        start += _PACKET.size
        packet = data[start : start + size]
        start += size
        if start > len(data):
            return
        ports = struct.unpack_from("!HH", packet, _ETHERNET + _IP)
        payload = packet[_ETHERNET + _IP + _UDP :]
        yield Datagram(seconds * 10**9 + rest, ports[0], ports[1], payload)
