"""
Captures of both ends of a path, with a router between them that drops and counts.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.explaining import explained
from tests.support.live import PATIENCE, waitUntil
from tests.support.namespaces import Namespace
from tests.support.pcap import captured
from tests.support.peers import needed
from tests.support.probing import measured
from tests.support.routed import SERVICE4, Routed

pytestmark = [pytest.mark.slow, pytest.mark.oneWay]

#: Probes of a measurement.
MANY = 200


@contextmanager
def capturing(where: Namespace, path: Path) -> Iterator[None]:
    """
    Have tcpdump write what passes by a host.
    """
    words = ["tcpdump", "-i", "wire", "--immediate-mode", "-U", "-Z", "root", "-w", str(path)]
    needed(words[0])
    with where.inside():
        process = subprocess.Popen([*words, "udp"], stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        while b"listening" not in (line := process.stderr.readline()):
            assert line, "tcpdump does not start"
        yield
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def waitFor(path: Path, count: int) -> None:
    """
    Wait until so many packets were captured.
    """
    waitUntil(lambda: sum(1 for _ in captured(path)) >= count, "all is captured")


def dropEvery(hosts: Routed, nth: int, way: str) -> None:
    """
    Have the router drop each so many datagrams on the way to a host.
    """
    words = f"-p udp -o {way} -m statistic --mode nth --every {nth} --packet 0 -j DROP"
    hosts.router.execute("iptables", "-A", "FORWARD", *words.split())


def dropped(hosts: Routed) -> list[int]:
    """
    Count what each rule of the router has dropped.
    """
    rules = hosts.router.execute("iptables", "-L", "FORWARD", "-nvx").splitlines()[2:]
    return [int(rule.split()[0]) for rule in rules]


@pytest.mark.parametrize(("there", "back"), [(5, 0), (0, 7), (4, 3)])
def test_counters(hosts: Routed, tmp_path: Path, there: int, back: int) -> None:
    """
    On each way as many probes are lost as the router has dropped there.
    """
    hosts.reset()
    for nth, way in ((there, "service"), (back, "client")):
        if nth:
            dropEvery(hosts, nth, way)
    near, far = tmp_path / "near", tmp_path / "far"
    with (
        hosts.service.ours(tmp_path) as server,
        capturing(hosts.client, near),
        capturing(hosts.service, far),
    ):
        with hosts.client.inside():
            words = (f"--count={MANY}", "--rate=500", "--timeout=5", "--seed=mine")
            found = measured(f"udp:{SERVICE4}:{server.port}", *words)
        counts = dropped(hosts)
        lostThere = counts.pop(0) if there else 0
        lostBack = counts.pop(0) if back else 0
        waitFor(near, MANY + found["back"])
        waitFor(far, 2 * (MANY - lostThere))
    report = explained(far, near, "--seed=mine")
    assert [file["role"] for file in report["files"]] == ["service", "client"]
    [result] = report["results"]
    lost = result["lost"]
    assert (lost["there"]["count"], lost["back"]["count"]) == (lostThere, lostBack)
    assert lostThere + lostBack > 0
    assert lost["unanswered"]["count"] == 0
    assert (result["sent"], result["back"]) == (found["sent"], found["back"])
    # Both hosts have the same clock here.
    assert result["thereNs"]["min"] >= 0 and result["backNs"]["min"] >= 0
    assert result["rttNs"]["count"] == found["back"]
    [alone] = explained(near)["results"]
    assert alone["lost"]["beyond"]["count"] == lostThere + lostBack
