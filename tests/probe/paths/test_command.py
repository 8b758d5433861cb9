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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
    Give the ports that stand out.
    """
    ports = found["byPort"]
    return {
        one["port"]
        for one in ports
        if (one["isLossy"] and "lossy") == kind or one["differs"] == kind
    }


def ofPort(number: int) -> bool:
    """
    Tell whether a port is one of those that fare worse: about one in eight.
    """
    return number * 2654435761 % 2**32 >> 29 == 5


@pytest.mark.oneWay
def test_lossy(tmp_path: Path) -> None:
    """
    Ports that lose half are named, exactly those, in words, in JSON and in the picture; a
    condition fails for them.
    """
    place = tmp_path / "found.svg"
    words = ("--rate=500", "--count=20", "--timeout=8", "--fail-if=lossy>0")
    with (
        service(lambda port, count: None if ofPort(port) and count % 2 else 0) as target,
        ThreadPoolExecutor() as pool,
    ):
        drawn = pool.submit(probe, "paths", target, *words, f"--plot={place}")
        done = probe("paths", target, *words, "--json")
        assert done.returncode in (1, 4), done.stderr
        report = json.loads(done.stdout)
        jsonschema.validate(report, SCHEMA)
        [found] = report["results"]
        ports = {one["port"] for one in found["byPort"]}
        assert len(ports) == 64
        assert outliers(found, "lossy") == {one for one in ports if ofPort(one)}
        assert found["lost"]["count"] == found["lost"]["unanswered"] == 10 * found["lossy"]
        assert (found["sent"], found["worst"]) == (64 * 20, 0.5)
        assert report["verdicts"][0]["held"] is False
        done = drawn.result()
    assert (done.returncode in (1, 4), done.stderr) == (True, "")
    lines = done.stdout.splitlines()
    [said] = [line for line in lines if " stand out: " in line]
    named = [line.split() for line in lines if "(50 %)" in line]
    assert f"{len(named)} lose more" in said
    assert all(ofPort(int(words[0])) for words in named)
    texts = {text.text for text in ET.parse(place).iter() if text.tag.endswith("text")}
    assert {words[0] for words in named[:12]} <= texts


@pytest.mark.oneWay
def test_slow() -> None:
    """
    Ports that take longer are named, by how much, and none for its losses.
    """
    words = ("--rate=300", "--count=20", "--ports=32", SLOW)
    with service(lambda port, count: 0.5 if ofPort(port) else 0) as target:
        [found] = reported("paths", target, *words)["results"]
    ports = {one["port"] for one in found["byPort"]}
    assert outliers(found, "slow") == {one for one in ports if ofPort(one)}
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
        assert (one["sent"], one["back"], one["lossy"]) == (160, 160, 0)
        assert len({port["port"] for port in one["byPort"]}) == 16
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
    assert (found["outliers"], found["lost"]["reported"]["count"]) == (0, 24)


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
        ): "first-port 65500: the last port would be 65563",
        (
            local,
            "--ports=4000",
            "--count=1000",
        ): "count 1000 from each of 4000 ports: more than 2,000,000 in all",
        (local, "--rate=0"): "--rate 0: not a number from 0.000001 to 100,000",
        ("udp:11.0.0.1", "--rate=1001"): "udp:11.0.0.1:7: more than 1,000 probes a second to an "
        "address that is neither loopback nor private; --flood says that its owner knows",
    }.items():
        assert run(["paths", *words]) == 2
        assert capsys.readouterr() == ("", f"echoprobe: {said}\n")
