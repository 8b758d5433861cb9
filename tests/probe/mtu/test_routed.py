"""
``echoprobe mtu`` between two hosts: what the router between them carries is the truth.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.probe.mtu.schema import SCHEMA
from tests.support.live import PATIENCE, figures, waitUntil
from tests.support.probing import PROGRAM, reported
from tests.support.routed import SERVICE4, SERVICE6, Routed

pytestmark = [pytest.mark.slow, pytest.mark.oneWay]


@contextmanager
def socat(hosts: Routed, port: int) -> Iterator[None]:
    """
    Have socat be the service.
    """
    if shutil.which("socat") is None:
        pytest.skip("socat is not installed")
    with ExitStack() as stack:
        for kind in ("UDP6", "TCP6"):
            words = ["socat", "-b", "65536", f"{kind}-LISTEN:{port},fork,ipv6only=0", "PIPE"]
            with hosts.service.inside():
                one = subprocess.Popen(words, stderr=subprocess.DEVNULL)
            stack.callback(one.wait, PATIENCE)
            stack.callback(one.terminate)
        waitUntil(lambda: isOpen(hosts, port), "socat listens")
        yield


def isOpen(hosts: Routed, port: int) -> bool:
    """
    Tell whether somebody listens on UDP and TCP.
    """
    with hosts.service.inside():
        tables = [Path(f"/proc/thread-self/net/{name}6").read_text() for name in ("udp", "tcp")]
    return all(f":{port:04X} " in table for table in tables)


@pytest.fixture(params=["ours", "socat"])
def port(
    request: pytest.FixtureRequest, hosts: Routed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """
    The port of a service, on the far host.
    """
    hosts.reset()
    if request.param == "socat":
        with socat(hosts, 7001):
            yield 7001
        return
    with hosts.service.ours(tmp_path_factory.mktemp("service")) as server:
        yield server.port


#: Runs a program that may send no packets of its own making.
PLAIN = ["setpriv", "--bounding-set=-net_raw"]


def places(port: int) -> list[str]:
    """
    Return the service's places by both families.
    """
    return [f"{SERVICE4}:{port}", f"[{SERVICE6}]:{port}"]


def found(hosts: Routed, *targets: str) -> list[dict[str, Any]]:
    """
    Search on the way to the service.
    """
    with hosts.client.inside():
        report = reported("mtu", *targets, status=0)
    jsonschema.validate(report, SCHEMA)
    for one in report["results"]:
        took = (one["endedNs"] - one["beganNs"]) / 1e6
        figures.append(f"mtu, {one['target']}: {one['sent']} sent, {took:.1f} ms")
    return list(report["results"])


def overUdp(hosts: Routed, port: int) -> list[dict[str, Any]]:
    """
    Search over UDP, by both families.
    """
    return found(hosts, *(f"udp:{place}" for place in places(port)))


def bounds(way: dict[str, Any]) -> tuple[int, int | None]:
    """
    Return what passes for sure, and what does at the most.
    """
    return way["least"], way["most"]


def pieces(one: dict[str, Any]) -> tuple[bool | None, bool | None]:
    """
    Tell whether fragments pass there, and back.
    """
    return one["fragments"]["there"], one["fragments"]["back"]


def test_icmp(hosts: Routed, port: int) -> None:
    """
    A narrow link on each way is found to the byte, and the router that told of it is named.
    """
    hosts.carry(there=1400)
    told = overUdp(hosts, port)
    for one, router in zip(told, ("10.98.1.2", "2001:db8:1::2"), strict=True):
        assert (one["mtu"], one["hole"], pieces(one)) == (1400, None, (True, True))
        assert bounds(one["mtuThere"]) == (1400, 1400)
        assert (one["mtuThere"]["why"], one["mtuThere"]["host"]) == ("icmp", router)
    hosts.carry(there=1400)
    for one in found(hosts, *(f"tcp:{place}" for place in places(port))):
        assert (one["mtu"], one["hole"]) == (1400, None)


def test_back(hosts: Routed, port: int) -> None:
    """
    So is one that is narrower on the way back.
    """
    hosts.carry(there=1400, back=1300)
    for one in overUdp(hosts, port):
        assert (one["mtu"], one["hole"], pieces(one)) == (1300, None, (True, True))
        assert bounds(one["mtuThere"]) == (1400, 1400)
        assert bounds(one["mtuBack"]) == (1300, 1300)


def test_hole(hosts: Routed, port: int) -> None:
    """
    Through a router that says nothing the size is found all the same, and on which way
    that router is.
    """
    hosts.silence()
    hosts.carry(there=1400)
    for one in overUdp(hosts, port):
        assert (one["mtu"], one["hole"], one["mtuThere"]["why"]) == (1400, "there", "black hole")
        assert bounds(one["mtuThere"]) == (1400, 1400)
        assert one["fragments"]["there"] is True
    hosts.carry(back=1300)
    for one in overUdp(hosts, port):
        assert (one["mtu"], one["hole"]) == (1300, "back")
        assert bounds(one["mtuThere"]) == (1300, None)
        assert bounds(one["mtuBack"])[1] == 1300


def test_segments(hosts: Routed, tmp_path: Path) -> None:
    """
    Under TCP a black hole is found, too, on its way: what it drops nobody acknowledges.
    """
    hosts.reset()
    hosts.silence()
    with hosts.service.ours(tmp_path) as server:
        old, new = (f"tcp:{place}" for place in places(server.port))
        hosts.carry(there=1400)
        [one] = found(hosts, new)
        assert (one["mtu"], one["mss"], one["hole"]) == (1400, 1340, "there")
        assert bounds(one["mtuThere"]) == (1400, 1400)
        hosts.carry(there=1400, back=1300)
        [one] = found(hosts, old)
        assert (one["mtu"], one["mss"], one["hole"]) == (1300, 1260, "both")
        least, most = bounds(one["mtuThere"])
        assert 1300 < least <= 1400 <= (most or 0)
        assert bounds(one["mtuBack"])[1] == 1300


def test_fragments(hosts: Routed, port: int) -> None:
    """
    Fragments that a router drops are told apart from packets that are too large, and on
    which way that is.
    """
    hosts.carry()
    for way, told in {"there": (False, None), "back": (True, False)}.items():
        hosts.reset()
        hosts.dropFragments(way)
        for one in overUdp(hosts, port):
            assert (one["mtu"], one["hole"], pieces(one)) == (1500, None, told)


def test_plain(hosts: Routed, tmp_path: Path) -> None:
    """
    Without CAP_NET_RAW less is known of fragments, and that is said; the MTU is found.
    """
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    hosts.reset()
    hosts.silence()
    with hosts.service.ours(tmp_path) as server, hosts.client.inside():
        words = [*PLAIN, *PROGRAM, "mtu", "--json", *(f"udp:{one}" for one in places(server.port))]
        for there, way in ((1400, "back"), (1500, "there")):
            hosts.carry(there)
            hosts.dropFragments(way)
            done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
            report = json.loads(done.stdout)
            jsonschema.validate(report, SCHEMA)
            for one in report["results"]:
                assert one["mtu"] == there
                assert pieces(one)[1] is None
                assert one["hole"] in ((None,) if there == 1500 else ("there", "unknown"))
            if there == 1500:
                assert pieces(one) == (None, None)
                assert any("CAP_NET_RAW" in line for line in one["cannotTell"])
