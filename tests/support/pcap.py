"""
Captures of packets, read with scapy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Captured(NamedTuple):
    """
    What a packet of UDP or TCP over IPv4 carried.

    :param at: nanoseconds of ``CLOCK_REALTIME`` when it passed by.
    :param port: where it went.
    """

    at: int
    port: int
    payload: bytes


def captured(path: Path) -> Iterator[Captured]:
    """
    Read the packets with a payload that are in a file by now.
    """
    # It takes half a second to import, and few tests need it.
    from scapy.layers.inet import TCP, UDP
    from scapy.layers.l2 import Ether
    from scapy.utils import RawPcapReader

    if not path.exists() or not path.stat().st_size:
        return
    with RawPcapReader(str(path)) as packets:
        for data, times in packets:
            packet = Ether(data)
            layer: Any = packet.getlayer(UDP) or packet.getlayer(TCP)
            if payload := bytes(layer.payload.original):
                # By its magic number the file has nanoseconds.
                yield Captured(times.sec * 10**9 + times.usec, layer.dport, payload)
