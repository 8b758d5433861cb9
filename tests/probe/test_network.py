"""
The probe between two hosts: what the kernel itself counts and captures is the truth.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from echotwist.probe.kinds import SIZE
from echotwist.probe.payload import headOf
from tests.support.live import PATIENCE, Server, figures, ours, waitUntil
from tests.support.namespaces import WIRE, Namespace, Pair, lose, lost, pair
from tests.support.pcap import Captured, captured
from tests.support.probing import measured, probe

#: Probes of each measurement that is compared with a capture.
MANY = 2000

#: Round trips of which the percentiles are compared.
BATCH = 200


@pytest.fixture(scope="module")
def hosts() -> Iterator[Pair]:
    """
    Two hosts joined by a wire.
    """
    with pair() as made:
        yield made


@pytest.fixture(scope="module")
def service(hosts: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """
    The service, on the near one.
    """
    with hosts.near.ours(tmp_path_factory.mktemp("service")) as server:
        yield server


def everyFourth(where: Namespace, chain: str, *words: str) -> None:
    """
    Have the kernel drop every fourth UDP datagram.
    """
    nth = "-m statistic --mode nth --every 4 --packet 0 -j DROP"
    where.execute("iptables", "-A", chain, "-p", "udp", *words, *nth.split())


def dropped(where: Namespace, chain: str) -> int:
    """
    Count what the first rule has dropped, and remove it.
    """
    count = int(where.execute("iptables", "-L", chain, "-nvx").splitlines()[2].split()[0])
    where.execute("iptables", "-F", chain)
    return count


def test_neverLeft(hosts: Pair, service: Server) -> None:
    """
    Probes that a firewall of this host forbids never left; the others are timed right.
    """
    everyFourth(hosts.far, "OUTPUT")
    with hosts.far.inside():
        words = ("--count=200", "--rate=500", "--timeout=5")
        found = measured(f"udp:{hosts.near.v4}:{service.port}", *words)
    reasons = [{"reason": "Operation not permitted (errno 1)", "count": 50}]
    assert found["lost"]["neverLeft"] == {"count": dropped(hosts.far, "OUTPUT"), "reasons": reasons}
    assert (found["lost"]["count"], found["back"]) == (50, 150)
    assert (found["clock"], found["rttNs"]["count"]) == ("kernel", 150)
    assert found["clockStepped"] == 0


def test_router(hosts: Pair, service: Server) -> None:
    """
    Losses on the way are as many as the kernel there has counted.
    """
    lose(hosts.near, 0.2)
    with hosts.far.inside():
        words = ("--count=300", "--rate=500", "--timeout=5")
        found = measured(f"udp:{hosts.near.v4}:{service.port}", *words)
    assert found["lost"]["unanswered"] == found["lost"]["count"] == lost(hosts.near)
    assert found["back"] == 300 - found["lost"]["count"]
    dropped(hosts.near, "INPUT")


def test_hopLimit(hosts: Pair, service: Server) -> None:
    """
    A router that a probe does not pass is named, by its address.
    """
    with hosts.near.inside():
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    with hosts.far.inside():
        found = measured("udp:192.0.2.9", "--count=2", "--rate=5", "--hop-limit=1", status=3)
    reason = f"ICMP time to live exceeded from {hosts.near.v4}"
    assert found["lost"]["reported"]["reasons"] == [{"reason": reason, "count": 2}]


def test_prohibited(hosts: Pair) -> None:
    """
    What a firewall on the way says is told.
    """
    rule = "-p udp --dport 4444 -j REJECT --reject-with icmp-admin-prohibited"
    hosts.near.execute("iptables", "-A", "INPUT", *rule.split())
    with hosts.far.inside():
        found = measured(f"udp:{hosts.near.v4}:4444", "--count=2", "--rate=5", status=3)
    hosts.near.execute("iptables", "-F", "INPUT")
    reason = f"ICMP prohibited from {hosts.near.v4}"
    assert found["lost"]["reported"]["reasons"] == [{"reason": reason, "count": 2}]


def test_unreachable(hosts: Pair) -> None:
    """
    Without a route no probe ever leaves.
    """
    hosts.far.ip("route", "add", "unreachable", "198.51.100.0/24")
    with hosts.far.inside():
        done = probe("udp:198.51.100.1", "--count=2", "--rate=5")
    assert done.returncode == 2
    assert done.stderr == "echoprobe: udp:198.51.100.1:7: No route to host (errno 113)\n"


# The same packets, captured


@contextmanager
def capturing(interface: str, port: int, path: Path) -> Iterator[list[Captured]]:
    """
    Have tcpdump write what passes by, with times in nanoseconds.

    :return: gets all packets of the probes and of their replies in the end.
    """
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    words = f"tcpdump -i {interface} --time-stamp-precision=nano -B 16384 -U -Z root"
    found: list[Captured] = []

    def isAll() -> bool:
        found[:] = captured(path)
        return sum(len(one.payload) for one in found) >= 2 * MANY * SIZE

    capture = subprocess.Popen(
        [*words.split(), "-w", path, "port", str(port)], stderr=subprocess.PIPE
    )
    try:
        assert capture.stderr is not None
        while b"listening" not in (line := capture.stderr.readline()):
            assert line, "tcpdump does not start"
        yield found
        waitUntil(isAll, "all is captured")
    finally:
        capture.terminate()
        capture.communicate(timeout=PATIENCE)


class Both(NamedTuple):
    """
    What the probe says of a round trip, and when its two packets were captured.
    """

    told: dict[str, Any]
    there: int
    back: int

    @property
    def error(self) -> int:
        """
        By how much the probe's round trip differs from that of the capture, in ns.
        """
        return abs(int(self.told["rttNs"]) - (self.back - self.there))


def compared(kind: str, host: str, port: int, path: Path) -> list[Both]:
    """
    Probe, and give each round trip that the kernel has stamped, with its capture.

    Over TCP those are not stamped that were not alone under way.
    """
    with capturing("lo" if host == "127.0.0.1" else WIRE, port, path) as packets:
        words = (f"--count={MANY}", "--rate=500", "--timeout=10", "--jsonl")
        done = probe(f"{kind}:{host}:{port}", *words)
    assert not done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["outcome"] for row in rows] == ["back"] * MANY
    there: dict[int, int] = {}
    back: dict[int, int] = {}
    for one in packets:
        (there if one.port == port else back).setdefault(headOf(one.payload)[0], one.at)
    stamped = [row for row in rows if row["clock"] == "kernel"]
    assert len(stamped) == MANY if kind == "udp" else len(stamped) > BATCH
    return [Both(row, there[row["number"]], back[row["number"]]) for row in stamped]


def quietest(times: Sequence[int]) -> tuple[float, float]:
    """
    Return the most that half of some times were, and 99 of 100, in µs, of those that were
    made while the machine had least else to do: what else it does lies between the
    kernel's stamps and tcpdump's.
    """
    batches = [
        sorted(times[start : start + BATCH]) for start in range(0, len(times) - BATCH + 1, BATCH)
    ]
    half, most = (min(one[BATCH * share // 100] for one in batches) for share in (50, 99))
    return half / 1000, most / 1000


def inOrder(one: Both, isLoopback: bool, kind: str) -> bool:
    """
    Tell whether a packet was captured between the stamps that the kernel makes before
    and after.

    On loopback that is when it comes in.  There, and on a veth pair, what comes in over TCP
    still carries the time at which it was to leave.  So tcpdump reads the clock itself,
    and so does IP a little later (``skb_tstamp``, ``skb_clear_delivery_time``: skbuff.h).
    """
    queued, left, came = (int(one.told[name]) for name in ("queuedNs", "leftNs", "cameNs"))
    isSame = came >= one.back if kind == "tcp" else came == one.back
    return isSame and (queued <= left <= one.there if isLoopback else queued <= one.there <= left)


#: The largest error in µs on loopback, of half of the round trips and of 99 of 100.
LARGEST = {"udp": (1, 5), "tcp": (10, 50)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_accuracy(tmp_path: Path, kind: str) -> None:
    """
    On loopback each round trip is what tcpdump says of the same packets: over UDP within
    1 µs for half of them, within 5 µs for 99 of 100.
    """
    with ours(tmp_path) as server:
        found = compared(kind, "127.0.0.1", server.port, tmp_path / "lo.pcap")
    assert [one for one in found if not inOrder(one, True, kind)] == []
    half, most = quietest([one.error for one in found])
    parts = [
        quietest(times)[0]
        for times in (
            [one.there - int(one.told["leftNs"]) for one in found],
            [int(one.told["cameNs"]) - one.back for one in found],
        )
    ]
    figures.append(
        f"probe: RTT over {kind.upper()} differs from tcpdump's of the same packets on "
        f"loopback by {half:.2f} µs (p50), {most:.2f} µs (p99); tcpdump sees a probe "
        f"{parts[0]:.2f} µs after it left, and a reply {parts[1]:.2f} µs before it came (p50)"
    )
    assert half <= LARGEST[kind][0]
    assert most <= LARGEST[kind][1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_bracket(hosts: Pair, service: Server, tmp_path: Path, kind: str) -> None:
    """
    On a wire, the time at which each probe was captured lies between the two at which
    the kernel queued and sent it; each reply was captured when it came in.
    """
    with hosts.far.inside():
        found = compared(kind, hosts.near.v4, service.port, tmp_path / "veth.pcap")
    assert [one for one in found if not inOrder(one, False, kind)] == []
    half, most = quietest([one.error for one in found])
    figures.append(
        f"probe: RTT over {kind.upper()} differs from tcpdump's of the same packets on a "
        f"veth pair by {half:.2f} µs (p50), {most:.2f} µs (p99)"
    )
