"""
``echoprobe paths`` through a router that drops by a hash of the port, and through one that
has two links to the service, one of them bad.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import jsonschema
import pytest

from tests.probe.paths.schema import SCHEMA
from tests.support.live import Server
from tests.support.probing import reported
from tests.support.routed import SERVICE4, SERVICE6, Routed

pytestmark = [pytest.mark.slow, pytest.mark.oneWay]

#: The first of the ports, and how many there are.
FIRST, PORTS = 40_000, 64

#: A second link from the router to the service.
LINK = "link add name other type veth peer name spare netns"


@pytest.fixture(scope="module")
def service(hosts: Routed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """
    The service, on the far host.
    """
    with hosts.service.ours(tmp_path_factory.mktemp("service")) as server:
        yield server


def found(hosts: Routed, target: str, count: int) -> dict[str, Any]:
    """
    Compare the ports.
    """
    words = (f"--first-port={FIRST}", f"--ports={PORTS}", f"--count={count}", "--rate=1000")
    with hosts.client.inside():
        report = reported("paths", target, *words, "--timeout=3")
    jsonschema.validate(report, SCHEMA)
    [one] = report["results"]
    return dict(one)


def lossy(one: dict[str, Any]) -> set[int]:
    """
    Return the ports that are named for their losses.
    """
    return {port["port"] for port in one["byPort"] if port["isLossy"]}


def silent(one: dict[str, Any]) -> set[int]:
    """
    Return the ports that lost everything.
    """
    return {port["port"] for port in one["byPort"] if port["share"] == 1}


def drop(hosts: Routed, command: str, table: str, *match: str) -> None:
    """
    Have the router drop each second datagram of some, after all that was said before.
    """
    half = "-m statistic --mode nth --every 2 --packet 0 -j DROP"
    rule = ["-t", table, "-A", "FORWARD", "-p", "udp", *match, *half.split()]
    hosts.router.execute(command, *rule)


def dropped(hosts: Routed, command: str, table: str) -> int:
    """
    Count what the last rule has dropped.
    """
    lines = hosts.router.execute(command, "-t", table, "-L", "FORWARD", "-nvx").splitlines()
    return int(lines[-1].split()[0])


def clean(hosts: Routed) -> None:
    """
    Have the router drop nothing.
    """
    for command in ("iptables", "ip6tables"):
        for table in ("filter", "mangle"):
            hosts.router.execute(command, "-t", table, "-F")


@pytest.mark.parametrize(
    ("command", "where", "header"),
    [("iptables", SERVICE4, "0>>22&0x3C@0"), ("ip6tables", f"[{SERVICE6}]", "40")],
)
def test_bits(hosts: Routed, service: Server, command: str, where: str, header: str) -> None:
    """
    Ports of which the router looks at three bits are named, exactly those, and as many
    losses are told as it has dropped.
    """
    clean(hosts)
    drop(hosts, command, "filter", "-m", "u32", "--u32", f"{header}>>16&0x7=5")
    one = found(hosts, f"udp:{where}:{service.port}", 30)
    count = dropped(hosts, command, "filter")
    clean(hosts)
    assert lossy(one) == {port for port in range(FIRST, FIRST + PORTS) if port % 8 == 5}
    assert one["lost"]["count"] == count > 50
    assert (one["lost"]["unanswered"], one["fast"]) == (count, 0)


def test_connections(hosts: Routed, service: Server) -> None:
    """
    Ports from which no connection comes about are named, too.
    """
    clean(hosts)
    rule = "-A FORWARD -o service -p tcp -m u32 --u32 0>>22&0x3C@0>>16&0x7=5 -j DROP"
    hosts.router.execute("iptables", *rule.split())
    with hosts.client.inside():
        words = (f"--first-port={FIRST}", "--ports=32", "--rate=1000", "--count=10", "--timeout=3")
        report = reported("paths", f"tcp:{SERVICE4}:{service.port}", *words)
    clean(hosts)
    jsonschema.validate(report, SCHEMA)
    [one] = report["results"]
    assert lossy(one) == silent(one) == {FIRST + 5, FIRST + 13, FIRST + 21, FIRST + 29}


def test_hash(hosts: Routed, service: Server) -> None:
    """
    So are those that a hash of the kernel's chooses: the ports that lose half are those that
    lost everything when the router dropped all of the same hash.
    """
    clean(hosts)
    words = "--hmark-tuple sport --hmark-mod 6 --hmark-rnd 0xfeed --hmark-offset 1"
    mark = ["-t", "mangle", "-A", "FORWARD", "-p", "udp"]
    hosts.router.execute("iptables", *mark, "-j", "HMARK", *words.split())
    hosts.router.execute("iptables", *mark, "-m", "mark", "--mark", "3", "-j", "DROP")
    target = f"udp:{SERVICE4}:{service.port}"
    chosen = silent(found(hosts, target, 4))
    assert 2 < len(chosen) < PORTS // 2
    hosts.router.execute("iptables", "-t", "mangle", "-D", "FORWARD", "2")
    drop(hosts, "iptables", "mangle", "-m", "mark", "--mark", "3")
    one = found(hosts, target, 30)
    count = dropped(hosts, "iptables", "mangle")
    clean(hosts)
    assert (lossy(one), one["lost"]["count"]) == (chosen, count)


def test_healthy(hosts: Routed, service: Server) -> None:
    """
    Where all ports lose alike, each fifth datagram, none is named.
    """
    clean(hosts)
    rule = "-A FORWARD -p udp -m statistic --mode random --probability 0.2 -j DROP"
    hosts.router.execute("iptables", *rule.split())
    one = found(hosts, f"udp:{SERVICE4}:{service.port}", 30)
    count = dropped(hosts, "iptables", "filter")
    clean(hosts)
    assert (one["lossy"], one["lost"]["count"]) == (0, count)
    assert count > 200


def test_bundle(hosts: Routed, service: Server) -> None:
    """
    Of two links that share the load by a hash (ECMP) one loses a third: the ports that
    take it, about half of all, are named.
    """
    clean(hosts)
    hosts.router.ip(*LINK.split(), hosts.service.name)
    for host, device, last in ((hosts.router, "other", 2), (hosts.service, "spare", 1)):
        host.setting(f"ipv4/conf/{device}/rp_filter", 0)
        host.setting("ipv4/conf/all/rp_filter", 0)
        host.ip("link", "set", device, "up")
        host.ip("addr", "add", f"10.98.3.{last}/24", "dev", device)
    hosts.router.setting("ipv4/fib_multipath_hash_policy", 1)
    links = {"service": "10.98.2.1", "other": "10.98.3.1"}
    hops = [f"nexthop via {host} dev {device}" for device, host in links.items()]
    hosts.service.ip("addr", "add", "198.51.100.1/32", "dev", "lo")
    hosts.router.ip("route", "replace", "198.51.100.1/32", *" ".join(hops).split())
    rule = "-A FORWARD -o other -p udp -m statistic --mode nth --every 3 --packet 0 -j DROP"
    hosts.router.execute("iptables", *rule.split())
    with hosts.service.inside():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    with wire:
        wire.bind(("spare", 0x0800))
        wire.setblocking(False)
        one = found(hosts, f"udp:198.51.100.1:{service.port}", 45)
        chosen = ports(wire)
    count = dropped(hosts, "iptables", "filter")
    clean(hosts)
    assert (lossy(one), one["lost"]["count"]) == (chosen, count)
    assert PORTS // 5 < len(chosen) < 4 * PORTS // 5
    assert one["pathShare"]["least"] < len(chosen) / PORTS < one["pathShare"]["most"]


def ports(wire: socket.socket) -> set[int]:
    """
    Return the ports that the captured datagrams come from.
    """
    found = set()
    with suppress(BlockingIOError):
        while packet := wire.recv(2**16):
            header = (packet[0] & 15) * 4
            found.add(int.from_bytes(packet[header : header + 2], "big"))
    return found
