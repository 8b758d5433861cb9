"""
``echoprobe mtu`` on this host alone.
"""

from __future__ import annotations

import socket
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import jsonschema
import pytest

from echotwist.probe.command import run
from tests.probe.mtu.schema import SCHEMA
from tests.support.live import Server, freePort, ours
from tests.support.probing import Misbehaving, probe, reported, streams


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """
    The service.
    """
    with ours(tmp_path_factory.mktemp("service")) as server:
        yield server


@pytest.mark.oneWay
def test_loopback(service: Server) -> None:
    """
    Over both kinds and both families all is told that there is to tell of loopback.
    """
    hosts = [f"127.0.0.1:{service.port}", f"[::1]:{service.port}"]
    report = reported("mtu", *hosts, "--timeout=20", status=0)
    jsonschema.validate(report, SCHEMA)
    found = report["results"]
    assert [(one["kind"], one["family"]) for one in found] == [
        ("udp", 4),
        ("tcp", 4),
        ("udp", 6),
        ("tcp", 6),
    ]
    assert [one["mtu"] for one in found if one["kind"] == "udp"] == [65535, 65535]
    for one in found:
        assert (one["hole"], one["damaged"], one["fragments"]["lost"]) == (None, 0, 0)
        assert one["mtuThere"]["least"] == one["mtu"]


@pytest.mark.oneWay
def test_text(service: Server, tmp_path: Path) -> None:
    """
    A person reads sizes, and conditions that failed; and sees the search.
    """
    place = tmp_path / "found.svg"
    words = ("--fail-if=mtu<1500", "--fail-if=mtu-there<70000", f"--plot={place}")
    done = probe("mtu", f"udp:127.0.0.1:{service.port}", "--timeout=20", *words)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0].endswith(", IPv4, sends up to 65535")
    assert "  MTU      65535, room for segments of 65495 (MSS)" in lines
    assert "  there    65535: as much as this host sends" in lines
    assert lines[-2].startswith("held ")
    assert lines[-1].startswith("FAILED")
    assert lines[-1].endswith(": mtu-there<70000: 65535")
    texts = {text.text for text in ET.parse(place).iter() if text.tag.endswith("text")}
    assert {"packet", "bytes", "answered", "there 65535"} <= texts


def test_silent() -> None:
    """
    Where nothing comes back nothing is known; ICMP's word is told.
    """
    port = freePort()
    report = reported("mtu", f"127.0.0.1:{port}", "--fail-if=mtu<1", status=3)
    jsonschema.validate(report, SCHEMA)
    udp, tcp = report["results"]
    assert (udp["mtu"], udp["sent"], udp["back"]) == (None, 4, 0)
    assert udp["reasons"] == [{"reason": "ICMP port unreachable from 127.0.0.1", "count": 4}]
    assert tcp["reasons"][0]["reason"] == "no connection: Connection refused (errno 111)"
    assert [one["held"] for one in report["verdicts"]] == [False, False]


def test_lossy() -> None:
    """
    Each second datagram gets lost, and the path is no narrower for that.
    """
    with Misbehaving(lambda did, number, data: [(0, data)] * (number % 2)) as service:
        [found] = reported("mtu", service.target, "--timeout=0.2", status=0)["results"]
    assert (found["mtu"], found["hole"]) == (65535, None)
    assert found["unanswered"] > 0


def test_cut() -> None:
    """
    A service that cuts what it answers is told; the way there carries what it got.
    """
    with Misbehaving(lambda did, number, data: [(0, data[:8192])]) as service:
        [found] = reported("mtu", service.target, "--timeout=20", status=0)["results"]
    assert (found["mtuThere"]["least"], found["mtuBack"]["least"]) == (65535, 8220)
    assert (found["mtu"], found["damaged"]) == (8220, 1)


def test_stalls() -> None:
    """
    A service that answers small pieces and no large ones is a black hole for all that TCP
    can tell, on the way back: what it got it has acknowledged.
    """

    def serve(connection: socket.socket) -> None:
        with suppress(ConnectionError):
            while data := connection.recv(65536):
                if len(data) < 100:
                    connection.sendall(data)

    with streams(serve) as target:
        [found] = reported("mtu", target, status=0)["results"]
    assert (found["hole"], found["mtu"], found["mtuBack"]["least"]) == ("back", None, 0)
    assert found["mtuThere"]["least"] > 576


def test_bad(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A mistake is one line.
    """
    for words, said in {
        ("unix:/nonesuch",): "unix:/nonesuch: mtu measures UDP and TCP only",
        ("tls:127.0.0.1",): "tls:127.0.0.1:7: mtu measures UDP and TCP only",
        (): "no target, such as udp:192.0.2.1; echoprobe --help says more",
        ("udp:127.0.0.1", "--timeout=0"): "--timeout 0: every reply would be late",
        ("udp:127.0.0.1", "--tries=0"): "--tries 0: not a whole number from 1 to 10",
        ("udp:127.0.0.1", "--plot=a.gif"): "--plot a.gif: it ends neither in .svg nor in .png",
        ("udp:127.0.0.1", "-4", "-6"): "--ipv4 and --ipv6 do not go together",
    }.items():
        assert run(["mtu", *words]) == 2
        assert capsys.readouterr() == ("", f"echoprobe: {said}\n")
    assert run(["mtu", "udp:127.0.0.1", "--fail-if=loss>1%"]) == 2
    assert "loss is not measured" in capsys.readouterr().err
