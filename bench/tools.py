"""
The tools that measure a path: how they are started, and what they tell.
"""

from __future__ import annotations

import csv
import json
import struct
import sys
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from bench.capture import Packet
from bench.servers import BIN

#: Round trips in nanoseconds, by the number of the probe.
Trips = dict[int, int]

#: The port of all servers, and where a client may leave a file.
PORT, LOG = 7007, "log.csv"

_ECHO_REQUEST, _ECHO_REPLY = 8, 0


@dataclass(frozen=True)
class Probing:
    """
    What a client does.

    :param host: the address of the server.
    :param rate: probes a second.
    :param seconds: how long.
    :param isEach: tell of each probe.
    """

    host: str
    rate: int
    seconds: float
    isEach: bool = False

    @property
    def count(self) -> int:
        """
        How many probes that makes.
        """
        return round(self.rate * self.seconds)


@dataclass(frozen=True)
class Tool:
    """
    A tool that measures round trips.

    :param program: which must be installed.
    :param version: tells its version.
    :param server: starts its server at an address; the kernel needs none.
    :param client: starts it.
    :param key: gives the number of the probe that a packet is, or of its reply.
    :param trips: reads what it told; it gets its output, its folder, and when each probe
        passed by.
    :param words: which packets are its own (pcap-filter(7)).
    :param isPaced: it keeps a rate whatever the replies do.
    :param lateness: reads by how much it says that it was late itself: 50 and 99 of 100
        probes (ns).
    """

    program: str
    version: Sequence[str]
    server: Callable[[str], Sequence[str | Path]] | None
    client: Callable[[Probing], Sequence[str | Path]]
    key: Callable[[Packet], int | None]
    trips: Callable[[str, Path, Mapping[int, int]], Trips]
    words: str = f"udp port {PORT}"
    isPaced: bool = True
    lateness: Callable[[str], tuple[float, float]] | None = None

    def passed(self, packets: Sequence[Packet]) -> tuple[dict[int, int], dict[int, int]]:
        """
        Tell when each probe and when each first reply passed by.
        """
        there: dict[int, int] = {}
        back: dict[int, int] = {}
        for packet in packets:
            if (key := self.key(packet)) is not None:
                isProbe = packet.ports[1] == PORT or packet.ports == (_ECHO_REQUEST, 0)
                (there if isProbe else back).setdefault(key, packet.at)
        return there, back


# echoprobe


def _echo(host: str) -> list[str | Path]:
    words = f"--nodaemon --pidfile= echo --port={PORT} --interface={host}"
    return [BIN / "twistd", *words.split()]


def _echoprobe(kind: str) -> Callable[[Probing], Sequence[str | Path]]:
    def client(probing: Probing) -> list[str | Path]:
        words: list[str | Path] = [
            sys.executable,
            "-m",
            "echotwist.probe",
            f"{kind}:{probing.host}:{PORT}",
        ]
        words += [f"--rate={probing.rate}", f"--count={probing.count}"]
        words += ["--timeout=1", "--jsonl" if probing.isEach else "--json"]
        return words

    return client


def _echoprobeKey(packet: Packet) -> int | None:
    return int.from_bytes(packet.payload[:8], "little") if len(packet.payload) >= 8 else None


def _echoprobeTrips(said: str, folder: Path, there: Mapping[int, int]) -> Trips:
    """
    Read what the kernel has stamped: over TCP that is what was alone under way.
    """
    rows = [json.loads(line) for line in said.splitlines()]
    return {row["number"]: row["rttNs"] for row in rows if row["clock"] == "kernel"}


def _echoprobeLateness(said: str) -> tuple[float, float]:
    late = json.loads(said)["results"][0]["latenessNs"]
    return late["median"], late["p99"]


# irtt


def _irtt(probing: Probing) -> list[str | Path]:
    timing = [f"-i{10**9 // probing.rate}ns", f"-d{probing.seconds}s", "--wait=3x1s"]
    return ["irtt", "client", *timing, "-Q", "-o", "-", f"{probing.host}:{PORT}"]


#: Magic number, flags, token, number; and the flags of opening and closing.
_IRTT = struct.Struct("<3sBQI")
_OPEN_OR_CLOSE = 0x05


def _irttKey(packet: Packet) -> int | None:
    if len(packet.payload) < _IRTT.size:
        return None
    _, flags, _, number = _IRTT.unpack_from(packet.payload)
    return None if flags & _OPEN_OR_CLOSE else int(number)


def _irttTrips(said: str, folder: Path, there: Mapping[int, int]) -> Trips:
    """
    Read what its client saw; what it calls RTT leaves out the time in its server.
    """
    found = {}
    for row in json.loads(said)["round_trips"]:
        if row["lost"] == "false":
            times = row["timestamps"]["client"]
            found[row["seqno"]] = times["receive"]["monotonic"] - times["send"]["monotonic"]
    return found


# sockperf


def _sockperf(probing: Probing) -> list[str | Path]:
    words = f"sockperf under-load -i {probing.host} -p {PORT} -m 64 --reply-every=1 --full-rtt"
    words += f" --mps={probing.rate} -t {ceil(probing.seconds)}"
    return [*words.split(), *(["--full-log", LOG] if probing.isEach else [])]


def _sockperfKey(packet: Packet) -> int | None:
    return int.from_bytes(packet.payload[:8], "big")


def _sockperfTrips(said: str, folder: Path, there: Mapping[int, int]) -> Trips:
    """
    Read its log, which leaves out the first probes, and has no numbers but times of a
    clock of its own.
    """
    lines = (folder / LOG).read_text().splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("packet,")) + 1
    numbers = (row[1:3] for row in csv.reader(lines[first:]) if len(row) > 2)
    rows = [[float(word) * 1e9 for word in row] for row in numbers]
    order = sorted(there, key=there.__getitem__)
    times = [there[number] for number in order]
    offset = _offset([row[0] for row in rows], times)
    return {order[_nearest(times, sent + offset)]: round(came - sent) for sent, came in rows}


def _nearest(times: Sequence[int], at: float) -> int:
    place = bisect_left(times, at, 1, len(times) - 1)
    return place if times[place] - at < at - times[place - 1] else place - 1


def _offset(sent: Sequence[float], times: Sequence[int]) -> float:
    """
    Find by how much one clock differs from another: the intervals fit best then.
    """
    some = sent[:200]

    def spread(shift: int) -> float:
        gaps = sorted(times[shift + n] - one for n, one in enumerate(some))
        return gaps[len(gaps) * 9 // 10] - gaps[0]

    shift = min(range(len(times) - len(some) + 1), key=spread)
    return sorted(times[shift + n] - one for n, one in enumerate(some))[len(some) // 2]


# fping


def _fping(probing: Probing) -> list[str | Path]:
    period = f"{1000 / probing.rate:g}"
    return [
        "fping",
        "-C",
        str(probing.count),
        "-p",
        period,
        "-i",
        period,
        "-t",
        "1000",
        "-q",
        probing.host,
    ]


def _fpingKey(packet: Packet) -> int | None:
    return int.from_bytes(packet.payload[2:4], "big")


def _fpingTrips(said: str, folder: Path, there: Mapping[int, int]) -> Trips:
    words = said.partition(" : ")[2].split()
    return {n: round(float(word) * 1e6) for n, word in enumerate(words) if word != "-"}


TOOLS: Mapping[str, Tool] = {
    "echoprobe UDP": Tool(
        sys.executable,
        [],
        _echo,
        _echoprobe("udp"),
        _echoprobeKey,
        _echoprobeTrips,
        lateness=_echoprobeLateness,
    ),
    "echoprobe TCP": Tool(
        sys.executable,
        [],
        _echo,
        _echoprobe("tcp"),
        _echoprobeKey,
        _echoprobeTrips,
        f"tcp port {PORT}",
        isPaced=False,
    ),
    "irtt": Tool(
        "irtt",
        ["irtt", "version"],
        lambda host: ["irtt", "server", "-b", f"{host}:{PORT}", "-i", "0"],
        _irtt,
        _irttKey,
        _irttTrips,
    ),
    "sockperf": Tool(
        "sockperf",
        ["sockperf", "--version"],
        lambda host: ["sockperf", "server", "-i", host, "-p", str(PORT)],
        _sockperf,
        _sockperfKey,
        _sockperfTrips,
    ),
    "fping": Tool("fping", ["fping", "--version"], None, _fping, _fpingKey, _fpingTrips, "icmp"),
}
