"""
What passed by, as tcpdump saw it (pcap-savefile(5)).
"""

from __future__ import annotations

import re
import signal
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bench.namespace import PATIENCE, Namespace
from bench.toolchains import Missing, tool

#: Bytes kept of each packet: Ethernet's, IP's and TCP's header, with options, and the
#: number of a probe.
_KEPT = 128

#: Seconds that a packet may take to tcpdump's buffer.
_SETTLED = 0.3

#: Of a file whose times are in nanoseconds, as this machine writes it: the beginning, and
#: the bytes of its header and of each packet's.
_NANOSECONDS = 0xA1B23C4D
_FILE = struct.Struct("=IHHiIII")
_PACKET = struct.Struct("=IIII")
_ETHERNET = 14

_ICMP, _TCP, _UDP = 1, 6, 17


@dataclass(frozen=True)
class Packet:
    """
    A packet of IPv4.

    :param at: nanoseconds of ``CLOCK_REALTIME``.
    :param ports: source and destination; for ICMP type and code.
    :param payload: what comes after the headers, or its beginning; of ICMP what comes
        after the checksum.
    """

    at: int
    ports: tuple[int, int]
    payload: bytes


class Capture:
    """
    A running tcpdump.

    :param host: where it runs.
    :param interface: that it listens on.
    :param words: which packets it keeps (pcap-filter(7)).
    :param file: where to.
    :raise bench.toolchains.Missing: it is not installed.
    """

    def __init__(self, host: Namespace, interface: str, words: str, file: Path) -> None:
        options = f"-i {interface} -s {_KEPT} -B 65536 --immediate-mode -Z root"
        options += " --time-stamp-precision=nano"
        self._file, self._log = file, file.with_suffix(".log")
        with self._log.open("wb") as log:
            self._process = host.start(
                [tool("tcpdump"), *options.split(), "-w", file, *words.split()], stderr=log
            )
        until = time.monotonic() + PATIENCE
        while "listening" not in self._said():
            if self._process.poll() is not None or time.monotonic() > until:
                raise Missing(f"tcpdump does not start: {self._said()}")
            time.sleep(0.01)

    def _said(self) -> str:
        return self._log.read_text(errors="replace").strip()

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        time.sleep(0.0 if kind else _SETTLED)
        self._process.send_signal(signal.SIGINT)
        self._process.wait(PATIENCE)
        dropped = re.search(r"(\d+) packets dropped by kernel", self._said())
        self.dropped = int(dropped[1]) if dropped else 0

    def packets(self) -> Iterator[Packet]:
        """
        Read them, when it has ended.
        """
        data = self._file.read_bytes()
        assert _FILE.unpack_from(data)[0] == _NANOSECONDS
        start = _FILE.size
        while start + _PACKET.size <= len(data):
            seconds, rest, size, _ = _PACKET.unpack_from(data, start)
            start += _PACKET.size + size
            yield _packet(seconds * 10**9 + rest, data[start - size + _ETHERNET : start])


def _packet(at: int, data: bytes) -> Packet:
    rest = data[(data[0] & 15) * 4 : int.from_bytes(data[2:4], "big")]
    protocol = data[9]
    if protocol == _ICMP:
        return Packet(at, (rest[0], rest[1]), rest[4:])
    header = 8 if protocol == _UDP else (rest[12] >> 4) * 4
    first, second = struct.unpack_from("!HH", rest)
    return Packet(at, (first, second), rest[header:])
