"""
The probe between two hosts: what the kernel itself counts and captures is the truth.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from echotwist.probe.distribution import Distribution
from echotwist.probe.payload import headOf
from tests.support.live import PATIENCE, Server, figures, ours, waitUntil
from tests.support.namespaces import WIRE, Namespace, Pair, lose, lost, pair
from tests.support.pcap import datagrams
from tests.support.probing import measured, probe

#: Probes of each measurement that is compared with a capture.
MANY = 2000


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
def captured(interface: str, port: int, path: Path) -> Iterator[Path]:
    """
    Have tcpdump write what passes by, with times in nanoseconds.
    """
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    words = f"tcpdump -i {interface} --time-stamp-precision=nano -s 256 -B 16384 -U -Z root"
    capture = subprocess.Popen(
        [*words.split(), "-w", path, "udp", "port", str(port)], stderr=subprocess.PIPE
    )
    try:
        assert capture.stderr is not None
        while b"listening" not in (line := capture.stderr.readline()):
            assert line, "tcpdump does not start"
        yield path
        waitUntil(lambda: len(list(datagrams(path))) >= 2 * MANY, "all is captured")
    finally:
        capture.terminate()
        capture.communicate(timeout=PATIENCE)


def rows(target: str) -> list[dict[str, Any]]:
    """
    Probe, and give what became of each probe.
    """
    done = probe(target, f"--count={MANY}", "--rate=1000", "--timeout=10", "--jsonl")
    assert not done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["outcome"] for row in found] == ["back"] * MANY
    assert {row["clock"] for row in found} == {"kernel"}
    return found


@pytest.mark.slow
def test_accuracy(tmp_path: Path) -> None:
    """
    On loopback each round trip is what tcpdump says of the same packets: within 1 µs
    for half of them, within 5 µs for 99 of 100.
    """
    with ExitStack() as stack:
        server = stack.enter_context(ours(tmp_path))
        path = stack.enter_context(captured("lo", server.port, tmp_path / "lo.pcap"))
        found = rows(f"udp:127.0.0.1:{server.port}")
    times: dict[int, dict[bool, int]] = {}
    for one in datagrams(path):
        times.setdefault(headOf(one.payload)[0], {})[one.port == server.port] = one.at
    differences = Distribution()
    for row in found:
        seen = times[row["number"]]
        differences.add(abs(row["rttNs"] - (seen[False] - seen[True])))
    half, most = differences.percentiles(50, 99)
    figures.append(
        f"probe: RTT differs from tcpdump's of the same {MANY:,} packets on loopback by "
        f"{(half or 0) / 1000:.2f} µs (p50), {(most or 0) / 1000:.2f} µs (p99)"
    )
    assert half is not None
    assert most is not None
    assert half <= 1000
    assert most <= 5000


@pytest.mark.slow
def test_bracket(hosts: Pair, service: Server, tmp_path: Path) -> None:
    """
    On a wire, the time at which each probe was captured lies between the two at which
    the kernel queued and sent it; each reply was captured when it came in.
    """
    with hosts.far.inside(), captured(WIRE, service.port, tmp_path / "veth.pcap") as path:
        found = rows(f"udp:{hosts.near.v4}:{service.port}")
    sent: dict[int, int] = {}
    back: dict[int, int] = {}
    for one in datagrams(path):
        (sent if one.port == service.port else back)[headOf(one.payload)[0]] = one.at
    inside = [row["queuedNs"] <= sent[row["number"]] <= row["leftNs"] for row in found]
    assert sum(inside) == MANY
    assert [row["cameNs"] for row in found] == [back[row["number"]] for row in found]
