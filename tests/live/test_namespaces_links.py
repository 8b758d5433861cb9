"""
Network interfaces that are deleted and made again while the service runs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import namespaces
from tests.support.live import Server, ours, waitUntil
from tests.support.namespaces import WIRE, Namespace, Pair, ask
from tests.support.peers import failing, needed
from tests.support.raw import PROTOCOL, Raw
from tests.support.rules import readAll

pytestmark = [pytest.mark.slow, pytest.mark.oneWay]

#: A port number that nobody else in the namespace has.
METRICS = 9464
NUMBERS = f"--metrics=tcp:{METRICS}:interface=127.0.0.1"


def ready(where: Namespace) -> str:
    """
    Ask a service on this host whether it is ready.
    """
    with where.connected(METRICS, "127.0.0.1") as stream:
        stream.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        return readAll(stream).decode().splitlines()[-1]


def serves(far: Namespace, server: Server, *places: str) -> None:
    """
    All clients on the wire are answered.
    """
    for host in places:
        with far.asking(server.port, host) as client:
            assert ask(client, b"hello", patience=10.0), host
        with far.connected(server.port, host) as stream:
            stream.sendall(b"hello")
            assert stream.recv(100) == b"hello"
        with Raw(far, host) as packets:
            assert packets.asks(b"hello", 10.0), host


def isGone(near: Namespace, server: Server) -> None:
    """
    Delete the network interface: one line says so for each listener, and it is not
    ready.
    """
    near.ip("link", "del", WIRE)
    for transport in ("TCP", "UDP", "raw"):
        server.waitFor(rf"{transport} .* hears nothing: the network interface {WIRE} is gone")
    assert ready(near) == "interface lost"


@pytest.mark.parametrize("options", [[], ["--workers=2"]], ids=["", "workers"])
@pytest.mark.parametrize("isLinkLocal", [False, True], ids=["name", "link-local"])
def test_madeAnew(hosts: Pair, tmp_path: Path, options: list[str], isLinkLocal: bool) -> None:
    """
    When a network interface is made again, everything that was bound to it serves
    again: TCP, UDP and raw, with workers too.
    """
    near, far = hosts
    local = f"{near.linkLocal}%{WIRE}"
    places = [local] if isLinkLocal else [near.v4, near.v6, local]
    chosen = f"-i{local if isLinkLocal else WIRE}"
    with near.ours(tmp_path, chosen, f"--raw={PROTOCOL}", NUMBERS, *options) as server:
        for _ in range(2):
            waitUntil(lambda: ready(near) == "ready", "it is ready")
            serves(far, server, *places)
            isGone(near, server)
            namespaces.join(near, far)
        waitUntil(lambda: ready(near) == "ready", "it is ready")
        serves(far, server, *places)


def test_notPermitted(hosts: Pair, tmp_path: Path) -> None:
    """
    Without the right to bind a socket to the new network interface the service says so,
    and is not ready.
    """
    near, far = hosts
    limit = f'exec {needed("setpriv")} --bounding-set=-net_raw "$@"'
    with (
        near.inside(),
        ours(tmp_path, "--port=7000", f"-i{WIRE}", NUMBERS, limit=limit) as server,
    ):
        near.ip("link", "del", WIRE)
        server.waitFor("TCP .* hears nothing: the network interface")
        namespaces.join(near, far)
        server.waitFor(f"TCP .* hears nothing: it cannot be bound to the new {WIRE}: Operation")
        assert ready(near) == "interface lost"


# Names and addresses that interfaces have besides their own.


@pytest.mark.parametrize("altname", ["other", "enp0s31f6-a-name-longer-than-fifteen-bytes"])
def test_altname(hosts: Pair, tmp_path: Path, altname: str) -> None:
    """
    A network interface may be called by any of its names, and by two at once; then
    each is answered once.
    """
    near, far = hosts
    near.ip("link", "property", "add", "dev", WIRE, "altname", altname)
    for options in ([f"-i{altname}"], [f"-i{WIRE}", f"-i{altname}"]):
        with near.ours(tmp_path, *options, f"--raw={PROTOCOL}") as server:
            serves(far, server, near.v4, near.v6)
            for host in (near.v4, near.v6):
                with Raw(far, host) as packets:
                    packets.send(b"one")
                    packets.send(b"two")
                    assert [packets.receive()[1] for _ in range(2)] == [b"one", b"two"]
    local = f"{near.linkLocal}%{altname}"
    with near.ours(tmp_path, f"-i{local}", f"--raw={PROTOCOL}") as server:
        serves(far, server, f"{near.linkLocal}%{WIRE}")


@pytest.mark.parametrize("options", [[], ["--portable"]], ids=["fast", "portable"])
def test_anyIP(hosts: Pair, tmp_path: Path, options: list[str]) -> None:
    """
    A host that a whole network is routed to answers from each of its addresses,
    with no privilege.
    """
    near, far = hosts
    near.ip("-6", "route", "add", "local", "fd78::/64", "dev", "lo")
    near.ip("route", "add", "local", "198.51.100.0/24", "dev", "lo")
    with near.ours(tmp_path, f"--raw={PROTOCOL}", *options) as server:
        serves(far, server, "198.51.100.7", "fd78::1", "fd78::1:2:3:4")


def test_notOurs(hosts: Pair, tmp_path: Path) -> None:
    """
    An address that is not ours is one all the same.
    """
    with hosts.near.inside():
        line = failing(tmp_path, "--port=7000", "-i2001:db8:1::1")
    assert "this machine does not have that address" in line
