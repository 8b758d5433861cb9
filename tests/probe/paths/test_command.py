"""
``echoprobe paths`` on this host alone: a service that treats ports differently, and ours.
"""

from __future__ import annotations

import heapq
import json
import select
import socket
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import jsonschema
import pytest

from echotwist.probe.command import run
from tests.probe.paths.schema import SCHEMA
from tests.support.live import PATIENCE, freePort, ours
from tests.support.probing import WELL, probe, reported

#: Waits for replies for so long that a busy machine loses none.
SLOW = "--timeout=20"


@contextmanager
def service(treat: Callable[[int, int], float | None]) -> Iterator[str]:
    """
    Have a UDP echo that looks at ports.

    :param treat: takes the port of a datagram, and how many came from it before; gives the
        seconds to wait, or nothing to drop it.
    :return: what to probe.
    """
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
    one.bind(("127.0.0.1", 0))
    ends = False

    def serve() -> None:
        came: dict[int, int] = {}
        waiting: list[tuple[float, int, bytes, Any]] = []
        while not ends:
            if select.select([one], [], [], 0 if waiting else 0.02)[0]:
                data, peer = one.recvfrom(2**16)
                count = came.get(peer[1], 0)
                came[peer[1]] = count + 1
                delay = treat(peer[1], count)
                if delay is not None:
                    at = time.monotonic() + delay
                    heapq.heappush(waiting, (at, len(came) + count * 1000, data, peer))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, data, peer = heapq.heappop(waiting)
                one.sendto(data, peer)

    thread = Thread(target=serve)
    thread.start()
    try:
        yield f"udp:127.0.0.1:{one.getsockname()[1]}"
    finally:
        ends = True
        thread.join(PATIENCE)
        one.close()


def outliers(found: dict[str, Any], kind: str) -> set[int]:
    """
    Return the ports that stand out.
    """
    ports = found["byPort"]
    return {
        one["port"]
        for one in ports
        if (one["isLossy"] and "lossy") == kind or one["differs"] == kind
    }


class Bad:
    """
    Some ports that fare worse: each eighth one that is seen.
    """

    def __init__(self) -> None:
        self._seen: list[int] = []

    def __contains__(self, port: int) -> bool:
        if port not in self._seen:
            self._seen.append(port)
        return port in self.ports

    @property
    def ports(self) -> list[int]:
        """
        Return those that were seen.
        """
        return sorted(self._seen[5::8])


@pytest.mark.oneWay
def test_lossy(tmp_path: Path) -> None:
    """
    Ports that lose half are named, exactly those, in JSON and in the picture, with as many
    losses as there were; a condition fails for them.
    """
    place, bad, dropped = tmp_path / "found.svg", Bad(), Counter[int]()

    def treat(port: int, count: int) -> float | None:
        isLost = port in bad and count % 2 == 0
        dropped[port] += isLost
        return None if isLost else 0

    words = ("--rate=1000", "--count=16", "--timeout=2", "--fail-if=lossy>0")
    with service(treat) as target:
        done = probe("paths", target, *words, "--json", f"--plot={place}")
    assert (done.returncode in (1, 4), done.stderr) == (True, "")
    report = json.loads(done.stdout)
    jsonschema.validate(report, SCHEMA)
    [found] = report["results"]
    ports = {one["port"]: one for one in found["byPort"]}
    assert len(ports) == 64
    named = sorted(outliers(found, "lossy"))
    assert named == bad.ports
    # On a busy machine some probes are not sent, and some replies come late.
    assert found["sent"] + found["skipped"] == 64 * 16
    for number, one in ports.items():
        assert one["sent"] - one["back"] == one["lost"] >= dropped[number]
    assert found["lost"]["count"] == found["sent"] - found["back"] >= dropped.total()
    assert report["verdicts"][0]["held"] is False
    texts = {text.text for text in ET.parse(place).iter() if text.tag.endswith("text")}
    assert set(map(str, named[:12])) <= texts


@pytest.mark.oneWay
def test_slow() -> None:
    """
    Ports that take longer are named, by how much, and none for its losses.
    """
    words = ("--rate=300", "--count=20", "--ports=32", SLOW)
    bad = Bad()
    with service(lambda port, count: 0.5 if port in bad else 0) as target:
        [found] = reported("paths", target, *words)["results"]
    assert sorted(outliers(found, "slow")) == bad.ports
    assert outliers(found, "lossy") == outliers(found, "fast") == set()
    for one in found["byPort"]:
        if one["differs"]:
            assert one["differenceNs"] > 100_000_000
            assert one["rttChance"] < found["alpha"]


@pytest.mark.oneWay
def test_alike(tmp_path: Path) -> None:
    """
    Of ours no port is named for its losses, over UDP and TCP; ports may be chosen.
    """
    first = freePort()
    first = min(first, 65535 - 16)
    with ours(tmp_path) as server:
        words = ("--rate=500", "--count=10", "--ports=16", SLOW)
        report = reported("paths", f"127.0.0.1:{server.port}", *words)
        udp, tcp = report["results"]
        jsonschema.validate(report, SCHEMA)
        done = probe("paths", f"udp:127.0.0.1:{server.port}", *words, f"--first-port={first}")
    for one in (udp, tcp):
        # On a busy machine some are not sent, as their time is over.
        assert (one["sent"] + one["skipped"], one["back"], one["lossy"]) == (160, one["sent"], 0)
        assert len({port["port"] for port in one["byPort"]}) == 16
    # Linux itself gives even ports alone to connections.
    assert {port["port"] % 2 for port in tcp["byPort"]} == {0, 1}
    assert done.returncode in (2, *WELL)
    if done.returncode == 2:  # Another program had one of them.
        assert "Address already in use" in done.stderr


def test_silent() -> None:
    """
    Where nothing comes back no port stands out.
    """
    target = f"udp:127.0.0.1:{freePort()}"
    report = reported("paths", target, "--rate=500", "--count=3", "--ports=8", status=3)
    jsonschema.validate(report, SCHEMA)
    [found] = report["results"]
    assert (found["outliers"], found["lost"]["reported"]["count"]) == (0, found["sent"])


@pytest.mark.oneWay
def test_patient() -> None:
    """
    Memory is for as many probes as there are, however long replies are waited for.
    """
    words = ("--ports=2", "--count=4", "--rate=100000", "--timeout=2000000")
    with service(lambda port, count: 0) as target:
        done = probe("paths", target, *words, "--json")
    assert done.stderr == ""
    assert json.loads(done.stdout)["results"][0]["ports"] == 2


def test_bad(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A mistake is one line.
    """
    local = "udp:127.0.0.1:9"
    for words, said in {
        ("unix:/nonesuch",): "unix:/nonesuch: paths measures UDP, TCP and TLS only",
        (local, "--ports=0"): "--ports 0: not a whole number from 1 to 4096",
        (
            local,
            "--first-port=65500",
        ): "--first-port 65500: the last port would be 65563",
        (
            local,
            "--ports=4000",
            "--count=1000",
        ): "--count 1000 from each of 4000 ports: more than 2,000,000 in all",
        (local, "--rate=0"): "--rate 0: not a number from 0.000001 to 100,000",
        ("udp:11.0.0.1", "--rate=1001"): "udp:11.0.0.1:7: more than 1,000 probes a second to an "
        "address that is neither loopback nor private; --flood says that its owner knows",
    }.items():
        assert run(["paths", *words]) == 2
        assert capsys.readouterr() == ("", f"echoprobe: {said}\n")
