"""
Raw IP packets: between two hosts, and on one.
"""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.live import Server, waitUntil
from tests.support.loops import dies
from tests.support.namespaces import WIRE, Namespace, Pair
from tests.support.noise import noise
from tests.support.peers import failing, needed
from tests.support.raw import PROTOCOL, Raw

pytestmark = pytest.mark.slow

_SO_RCVBUFFORCE = 33


def serving(where: Namespace, cwd: Path, *options: str) -> Server:
    """
    Start a service on a host, which echoes raw packets too.
    """
    return where.ours(cwd, f"--raw={PROTOCOL}", *options)


# Between two hosts.


def test_sizes(hosts: Pair, tmp_path: Path) -> None:
    """
    Packets of all sizes come back whole, over IPv4 and IPv6, in fragments too.
    """
    near, far = hosts
    edges = [0, 1, 1400, 1440, 1441, 1480, 1481, 9000]
    with serving(near, tmp_path) as server:
        server.waitFor(rf"echo on .*, raw {PROTOCOL} 0\.0\.0\.0, raw {PROTOCOL} \[?::\]?$")
        # With the header 65,535 bytes, which IPv6 does not count (RFC 791, RFC 8200).
        for host, most in ((near.v4, 65_515), (near.v6, 65_535)):
            with Raw(far, host) as client:
                for size in (*edges, most):
                    assert client.asks(noise(size)), f"{size} bytes of {host}"
                with pytest.raises(OSError, match="Message too long"):
                    client.send(bytes(most + 1))


OPTIONS = {
    "no operation": b"\x01" * 4,
    "record route": b"\x07\x0b\x04" + bytes(8) + b"\x01",
    "timestamp": b"\x44\x0c\x05\x00" + bytes(8),
    "forty bytes": b"\x01" * 40,
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options(hosts: Pair, tmp_path: Path, options: bytes) -> None:
    """
    Options of IPv4 in the header are no part of what comes back (RFC 791, section 3.1).
    """
    near, far = hosts
    with serving(near, tmp_path), Raw(near, "0.0.0.0") as witness, Raw(far, near.v4) as client:
        client.socket.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, options)
        for payload in (b"", b"hello", noise(1000), noise(5000)):
            client.send(payload)
            asked, _ = witness.receive()
            assert len(asked) == 20 + len(options)
            header, reply = client.receive()
            assert reply == payload
            assert len(header) == 20


def addresses(near: Namespace) -> list[str]:
    """
    Give all that a host can be asked by.
    """
    link = f"{near.linkLocal}%{WIRE}"
    return [near.v4, near.second4, near.v6, near.second6, near.other6, link]


def test_askedAddress(hosts: Pair, tmp_path: Path) -> None:
    """
    Every address is answered from itself.
    """
    near, far = hosts
    with serving(near, tmp_path):
        for host in addresses(near):
            with Raw(far, host) as client:
                assert client.asks(b"who are you?"), f"no reply from {host}"


def test_interface(hosts: Pair, tmp_path: Path) -> None:
    """
    Bound to addresses it answers these, and no other.
    """
    near, far = hosts
    with serving(near, tmp_path, f"-i{near.second4}", f"-i{near.second6}"):
        for host in addresses(near):
            with Raw(far, host) as client:
                isChosen = host in (near.second4, near.second6)
                assert client.asks(b"hello", 10.0 if isChosen else 0.2) == isChosen, host


def test_networkInterface(hosts: Pair, tmp_path: Path) -> None:
    """
    Bound to a network interface it answers what comes by it, and not what comes
    by loopback.
    """
    near, far = hosts
    with serving(near, tmp_path, f"-i{WIRE}"):
        for host in addresses(near):
            with Raw(far, host) as client:
                assert client.asks(b"hello"), host
        with Raw(near, "127.0.0.1", "127.0.0.9") as client:
            assert not client.asks(b"hello", 0.2)


def test_groups(hosts: Pair, tmp_path: Path) -> None:
    """
    A packet to all hosts at once gets no reply.
    """
    near, far = hosts
    with serving(near, tmp_path) as server, ExitStack() as stack:
        four, six = (stack.enter_context(Raw(far, host)) for host in ("0.0.0.0", "::"))
        four.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for host in ("10.99.0.255", "255.255.255.255", "224.0.0.1"):
            four.socket.sendto(b"all", (host, 0))
        with far.inside():
            scope = socket.if_nametoindex(WIRE)
        six.socket.sendto(b"all", ("ff02::1", 0, 0, scope))
        heard: list[tuple[str, bytes]] = []
        for listener, host in ((four, near.v4), (six, near.v6)):
            # What was asked before is answered before.
            listener.socket.sendto(b"one", (host, 0))
            while (host, b"one") not in heard:
                packet, (source, *_) = listener.socket.recvfrom(2**16)
                heard.append((source, packet[-3:]))
        # It hears itself, too.
        replies = [one for one in heard if one[0] not in (far.v4, far.v6, f"{far.linkLocal}")]
        replies = [one for one in replies if not one[0].startswith(f"{far.linkLocal}%")]
        assert replies == [(near.v4, b"one"), (near.v6, b"one")], heard
        server.waitFor("raw refused: multicast or broadcast")


@pytest.mark.parametrize("host", ["v4", "v6"])
@pytest.mark.parametrize("payload", [b"", b"loop"], ids=["empty", "loop"])
def test_loop(hosts: Pair, tmp_path: Path, host: str, payload: bytes) -> None:
    """
    Two services that a packet sets at each other fall silent.
    """
    near, far = hosts
    one, other = getattr(near, host), getattr(far, host)
    anywhere = "::" if ":" in one else "0.0.0.0"
    with (
        serving(near, tmp_path),
        serving(far, tmp_path),
        Raw(near, anywhere) as atNear,
        Raw(far, anywhere) as atFar,
        # The same on the wire as if somebody else had written that address on it.
        Raw(far, one, source=other) as begun,
    ):
        count = dies(lambda: atNear.count() + atFar.count(), lambda: begun.send(payload))
        assert count > 100, "they did not answer each other"
        with Raw(far, one) as client:
            assert client.asks(b"still there?")


# On one host.


@pytest.mark.parametrize("isMarked", [False, True], ids=["", "marked"])
@pytest.mark.parametrize("services", [1, 2])
@pytest.mark.parametrize("where", ["127.0.0.1", "v4", "v6"])
def test_loopback(hosts: Pair, tmp_path: Path, where: str, services: int, isMarked: bool) -> None:
    """
    On the host of its clients each packet is answered once by each service,
    and no reply is taken for a packet to answer, even if a firewall marks all.
    """
    near = hosts.near
    if isMarked:
        for program in ("iptables", "ip6tables"):
            rule = "-t mangle -A OUTPUT -j MARK --or-mark 0x4000"
            near.execute(program, *rule.split())
    ends = {
        "127.0.0.1": ("127.0.0.1", "127.0.0.9"),
        "v4": (near.v4, near.second4),
        "v6": (near.v6, near.second6),
    }
    host, source = ends[where]
    with ExitStack() as stack:
        for _ in range(services):
            stack.enter_context(serving(near, tmp_path))
        witness = stack.enter_context(Raw(near, "::" if ":" in host else "0.0.0.0"))
        client = stack.enter_context(Raw(near, host, source))
        for number in range(50):
            payload = b"packet %d" % number
            client.send(payload)
            for _ in range(services):
                assert client.receive()[1] == payload
        expected = 50 * (1 + services)
        waitUntil(lambda: witness.count() >= expected, "all replies are heard")
        time.sleep(0.3)  # in which there would be more
        assert witness.count() == expected
        assert client.count() == 0


# Where it cannot be.


def test_noRight(hosts: Pair, tmp_path: Path) -> None:
    """
    Without the right to raw sockets it says so in one line.
    """
    with hosts.near.inside():
        before = [needed("setpriv"), "--bounding-set=-net_raw"]
        line = failing(tmp_path, f"--raw={PROTOCOL}", before=before)
    assert line == (
        f"echo: cannot listen on raw {PROTOCOL} 0.0.0.0: Operation not permitted (errno 1); "
        "raw sockets need root or CAP_NET_RAW"
    )


@pytest.mark.parametrize(
    ("number", "owner"), [(1, "ICMP"), (6, "TCP"), (17, "UDP"), (58, "ICMPv6"), (255, "only sent")]
)
def test_owned(tmp_path: Path, number: int, owner: str) -> None:
    """
    A protocol that the kernel itself uses is refused, with the reason.
    """
    line = failing(tmp_path, f"--raw={number}")
    assert f"raw {number}: the kernel itself has that protocol" in line
    assert owner in line


def test_noProtocol(tmp_path: Path) -> None:
    """
    A number that is not a protocol's is refused.
    """
    assert failing(tmp_path, "--raw=256") == "echo: --raw 256: not a whole number from 0 to 255"
