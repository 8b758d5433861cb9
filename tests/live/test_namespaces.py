"""
The service on a wire of its own: second addresses, forged ones, loops, loss,
and peers that vanish.
"""

from __future__ import annotations

import hashlib
import re
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.support import namespaces, rules
from tests.support.live import PATIENCE, Server, figures, waitUntil
from tests.support.loops import LOOP_DATAGRAMS, LOOP_SECONDS, dies
from tests.support.namespaces import WIRE, Namespace, Pair, Relay, ask, packet, received, udpOf
from tests.support.noise import noise
from tests.support.rules import MIB

pytestmark = pytest.mark.slow


#: Seconds for which the same bytes are sent: more than a loop may take.
MONITORED = 12.0

#: A port number that nobody else in the namespace has.
METRICS = 9464

BROADCAST = b"\xff" * 6


def numbers(hosts: Pair) -> dict[str, float]:
    """
    Scrape what a service with ``--metrics`` has counted about datagrams.
    """
    with hosts.far.connected(METRICS, hosts.near.v4) as stream:
        stream.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        page = rules.readAll(stream).decode()
    found = re.findall(r'^echotwist_(\w+)\{(.*)transport="udp"(.*)\} (\S+)$', page, re.MULTILINE)
    return {name + before + after: float(number) for name, before, after, number in found}


# Addresses.


def test_secondAddresses(hosts: Pair, tmp_path: Path) -> None:
    """
    Every address of the host is answered from itself, with IPv6 in any
    network, and link-local with its scope.
    """
    near, far = hosts
    with near.ours(tmp_path) as server:
        for host in (
            near.v4,
            near.second4,
            near.v6,
            near.second6,
            near.other6,
            f"{near.linkLocal}%{WIRE}",
        ):
            with far.asking(server.port, host) as client:
                assert ask(client, b"who are you?"), f"no reply from {host}"


def test_linkLocal(hosts: Pair, tmp_path: Path) -> None:
    """
    Bound to a link-local address, it answers there over UDP and TCP.
    """
    near, far = hosts
    host = f"{near.linkLocal}%{WIRE}"
    with near.ours(tmp_path, f"-i{host}") as server:
        with far.asking(server.port, host) as client:
            assert ask(client, b"hello")
        with far.connected(server.port, host) as stream:
            stream.sendall(b"hello")
            assert stream.recv(100) == b"hello"
        with far.asking(server.port, near.v6) as client:
            assert not ask(client, b"hello", patience=0.2)


def test_networkInterface(hosts: Pair, tmp_path: Path) -> None:
    """
    Bound to a network interface, it answers all that comes by it, and not what
    comes by loopback.
    """
    near, far = hosts
    with near.ours(tmp_path, f"-i{WIRE}") as server:
        for host in (near.v4, near.second4, near.v6, f"{near.linkLocal}%{WIRE}"):
            with far.asking(server.port, host) as client:
                assert ask(client, b"hello"), f"no reply from {host}"
        for host in ("127.0.0.1", "::1"):
            with near.asking(server.port, host) as client:
                assert not ask(client, b"hello", patience=0.2), f"a reply from {host}"
            with pytest.raises(ConnectionRefusedError):
                near.connected(server.port, host)


def test_noIPv6(hosts: Pair, tmp_path: Path) -> None:
    """
    On a host with IPv6 turned off the service serves IPv4, without a word in the log.
    """
    near, far = hosts
    near.setting("ipv6/conf/all/disable_ipv6", 1)
    with near.ours(tmp_path) as server:
        for host in (near.v4, near.second4):
            with far.asking(server.port, host) as client:
                assert ask(client, b"hello")
        with far.connected(server.port, near.v4) as stream:
            stream.sendall(b"hello")
            assert stream.recv(100) == b"hello"


# Which datagrams it answers.


def forged(hosts: Pair, port: int) -> list[tuple[bytes, bytes]]:
    """
    Make datagrams that must not be answered, and say which host each goes to.
    """
    near, far = hosts
    found = []
    for source, target in ((far.second4, near.v4), (far.second6, near.v6)):
        for number in (0, 1, 7, 19, 53, 1023, port):
            found.append((packet(source, number, target, port, b"low"), near.mac))
    for source in ("0.0.0.0", "0.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"):
        found.append((packet(source, 5000, near.v4, port, b"strange"), near.mac))
    for source in ("10.99.0.255", "127.0.0.1", "127.9.9.9"):
        found.append((packet(source, 5000, near.v4, port, b"strange"), near.mac))
    for source in ("::", "::1", "ff02::1", f"::ffff:{far.second4}", "::ffff:127.0.0.1"):
        found.append((packet(source, 5000, near.v6, port, b"strange"), near.mac))
    for target in ("10.99.0.255", "10.99.0.0", "255.255.255.255", "224.0.0.1", "224.5.6.7"):
        found.append((packet(far.second4, 5000, target, port, b"group"), BROADCAST))
    found.append((packet(far.second6, 5000, "ff02::1", port, b"group"), BROADCAST))
    found.append((packet(far.linkLocal, 5000, "ff02::1", port, b"group"), BROADCAST))
    return found


@pytest.mark.parametrize("interface", [[], ["-i0.0.0.0", "-i::"], [f"-i{WIRE}"]])
def test_forged(hosts: Pair, tmp_path: Path, interface: list[str]) -> None:
    """
    Datagrams with low ports, the service's own port, or addresses that no host has, as
    source or as target, bring nothing onto the wire, and do no harm.
    """
    near, far = hosts
    options = [f"--metrics=tcp:{METRICS}", *interface]
    with near.ours(tmp_path, *options) as server, far.capture() as wire:
        for source, host in ((far.second4, near.v4), (far.second6, near.v6)):
            far.inject(packet(source, 5000, host, server.port, b"well"), mac=near.mac)
        datagrams = forged(hosts, server.port)
        for datagram, mac in datagrams:
            far.inject(datagram, mac=mac)
        for host in (near.v4, near.v6):
            with far.asking(server.port, host) as client:
                assert ask(client, b"good")
        found = udpOf(wire, server.port)
        counted = numbers(hosts)
    refused = {key.split('"')[1]: count for key, count in counted.items() if "reason" in key}
    figures.append(f"{len(datagrams)} forged: {refused}")
    assert [data for _, data in found] == [b"well", b"well", b"good", b"good"], found
    # The kernel lets in no more of the others.
    assert refused["source port 0"] == 2
    assert refused["low source port"] == 10
    assert refused["own port as source"] == 2
    assert refused["source is no host"] >= 3
    assert refused["multicast or broadcast"] >= 4


@pytest.mark.parametrize(("options", "answered"), [([], False), (["--answer-low-ports"], True)])
def test_lowPort(hosts: Pair, tmp_path: Path, options: list[str], answered: bool) -> None:
    """
    A client on port 1023 is answered with ``--answer-low-ports``, and only then.
    """
    near, far = hosts
    with near.ours(tmp_path, *options) as server:
        for host in (near.v4, near.v6):
            with far.asking(server.port, host, sourcePort=1023) as client:
                assert ask(client, b"hello", patience=10 if answered else 0.2) == answered


# Loops.


def loop(hosts: Pair, one: int, other: int, payloads: Sequence[bytes]) -> int:
    """
    Forged datagrams that set two echo services at each other end in time.

    :param one: port of the service at the near host.
    :param other: port of that at the far host.
    """
    near, far = hosts

    def begin() -> None:
        forged = [packet(far.v4, other, near.v4, one, payload) for payload in payloads]
        far.inject(*forged, mac=near.mac)

    return dies(hosts.sentDatagrams, begin)


PAYLOADS = {
    "one": [b"loop"],
    "empty": [b""],
    "large": [noise(1400)],
    "fifty": [b"loop %d" % number for number in range(50)],
}


@pytest.mark.parametrize("payloads", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("options", [[], ["--udp-rate=0"]], ids=["default", "anyRate"])
def test_loopOfOurs(hosts: Pair, tmp_path: Path, options: list[str], payloads: list[bytes]) -> None:
    """
    Two of our services that were set at each other fall silent.
    """
    near, far = hosts
    with near.ours(tmp_path, *options) as one, far.ours(tmp_path, *options) as other:
        loop(hosts, one.port, other.port, payloads)
        for where, server, host in ((far, one, near.v4), (near, other, far.v4)):
            with where.asking(server.port, host) as client:
                assert ask(client, b"still there?")


@pytest.mark.parametrize("payloads", PAYLOADS.values(), ids=PAYLOADS)
def test_loopWithStock(hosts: Pair, tmp_path: Path, payloads: list[bytes]) -> None:
    """
    One of ours and a service that never gives up fall silent.
    """
    near, far = hosts
    with near.ours(tmp_path) as one, far.stock(tmp_path) as other:
        loop(hosts, one.port, other.port, payloads)
        with far.asking(one.port, near.v4) as client:
            assert ask(client, b"still there?")


def test_loopOfSamePort(hosts: Pair, tmp_path: Path) -> None:
    """
    Two of ours on the same port say nothing to each other.
    """
    near, far = hosts
    with near.ours(tmp_path, "--port=5000") as one, far.ours(tmp_path, "--port=5000"):
        before = hosts.sentDatagrams()
        far.inject(packet(far.v4, 5000, near.v4, 5000, b"loop"), mac=near.mac)
        with far.asking(one.port, near.v4) as client:
            assert ask(client, b"good")
        assert hosts.sentDatagrams() - before == 2


@pytest.mark.parametrize("prefixes", [("You said : ", ""), ("", "b"), ("A: ", "B: "), ("a", "a")])
def test_loopWithPrefix(hosts: Pair, tmp_path: Path, prefixes: tuple[str, str]) -> None:
    """
    Prefixes, which make each datagram differ from the one before, change nothing.
    """
    near, far = hosts
    options = [[f"--prefix={prefix}"] if prefix else [] for prefix in prefixes]
    with near.ours(tmp_path, *options[0]) as one, far.ours(tmp_path, *options[1]) as other:
        loop(hosts, one.port, other.port, [b"loop"])


def test_loopWithDelay(hosts: Pair, tmp_path: Path) -> None:
    """
    A long way between the two changes nothing, while what goes round comes faster
    than the rate: one datagram or many.
    """
    kinds = ["ours", "prefix", "stock"]
    with ThreadPoolExecutor(len(kinds)) as pool:
        list(pool.map(lambda kind: _loopWithDelay(hosts, tmp_path, kind), kinds))


def _loopWithDelay(hosts: Pair, cwd: Path, kind: str) -> None:
    near, far = hosts
    options = ["--loop-rate=10", *["--prefix=You said : "] * (kind == "prefix")]
    with ExitStack() as stack:
        one = stack.enter_context(near.ours(cwd, *options))
        other = near.stock(cwd) if kind == "stock" else near.ours(cwd, *options)
        stack.enter_context(other)
        ends = (near.v4, one.port), (near.v4, other.port)
        relays = [
            stack.enter_context(Relay(far, *ends, delay)) for delay in (0.001, 0.01, 0.02, 0.05)
        ]
        start = time.monotonic()
        for relay, payloads in zip(relays, [1, 1, 2, 50], strict=True):
            relay.begin([b"loop %d" % number for number in range(payloads)])
        time.sleep(LOOP_SECONDS)
        sleepers = [relay.lastAt + relay.delay for relay in relays]
        waitUntil(lambda: time.monotonic() > max(sleepers) + 0.2, "the last has come")
        for relay in relays:
            took = relay.lastAt - start
            figures.append(f"{kind}, {relay.delay} s: {relay.carried} datagrams in {took:.2f} s")
            assert took <= LOOP_SECONDS
            assert 0 < relay.carried <= LOOP_DATAGRAMS


def test_loopOfStock(hosts: Pair, tmp_path: Path) -> None:
    """
    Two of Twisted's own echoes never stop, so the rule can break.
    """
    near, far = hosts
    one, other = near.stock(tmp_path), far.stock(tmp_path)
    with one, other, pytest.raises(AssertionError, match="still alive after"):
        loop(hosts, one.port, other.port, [b"loop"])


# Replies to clients, and how many.


def exchange(client: socket.socket, payloads: Sequence[bytes], window: int = 64) -> int:
    """
    Ask so often, a few at a time, and see that each reply has its bytes.

    :return: how many replies did not come.
    """
    lost = 0
    for start in range(0, len(payloads), window):
        asked = payloads[start : start + window]
        for payload in asked:
            client.send(payload)
        client.settimeout(3)
        awaited = list(asked)
        try:
            while awaited:
                awaited.remove(client.recv(2**16))
        except TimeoutError:
            lost += len(awaited)
    return lost


@pytest.mark.parametrize("host", ["v4", "v6"])
def test_differentDatagrams(hosts: Pair, tmp_path: Path, host: str) -> None:
    """
    A client that never sends the same bytes twice gets each reply; one that always does
    loses at most one in 9,000.
    """
    near, far = hosts
    size = 50_000 if host == "v4" else 20_000
    with (
        near.ours(tmp_path, "--udp-rate=0") as server,
        far.asking(server.port, getattr(near, host)) as client,
    ):
        assert exchange(client, [b"%d" % number for number in range(size)]) == 0
        lost = exchange(client, [b"same"] * size)
    figures.append(f"of {size} with the same bytes {lost} lost")
    assert lost <= size // 9000


def monitor(client: socket.socket, interval: float, burst: int, payloads: int) -> tuple[int, int]:
    """
    Ask for some seconds from one port, so many at once, with few payloads in turn.

    :return: how often it asked, and how many replies did not come.
    """
    sent = got = 0
    end = time.monotonic() + MONITORED
    while time.monotonic() < end:
        for _ in range(burst):
            client.send(b"ping %d" % (sent % payloads))
            sent += 1
        got += len(received(client, interval))
    return sent, sent - got - len(received(client, 1.0))


def test_monitors(hosts: Pair, tmp_path: Path, way: str) -> None:
    """
    Monitors that send the same bytes from one port, not faster than the rate, get each
    reply.
    """
    near, far = hosts
    kinds = [(0.011, 1, 1), (0.02, 1, 3), (0.011, 1, 50), (0.1, 10, 1), (1, 100, 1), (2, 1, 1)]
    with near.ours(tmp_path) as server, ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(kinds)))
        clients = [
            stack.enter_context(far.asking(server.port, host))
            for host in (near.v4, near.v6)
            for _ in range(3)
        ]
        found = list(pool.map(monitor, clients, *zip(*kinds, strict=True)))
    figures.append(f"{way}, sent and lost: {found}")
    assert [lost for _, lost in found] == [0] * len(kinds), found


def replies(clients: Sequence[socket.socket], each: int) -> tuple[list[int], float]:
    """
    Send much at once, and count what comes back.

    :return: for each client, and the seconds that it took.
    """
    start = time.monotonic()
    for number in range(each):
        for client in clients:
            client.send(b"%d" % number)
    found = [len(received(client, 0.3)) for client in clients]
    return found, time.monotonic() - start


def test_rate(hosts: Pair, tmp_path: Path) -> None:
    """
    A source gets so many replies at once and so many a second, whatever its
    ports; another source has its own.
    """
    near, far = hosts
    with near.ours(tmp_path, "--udp-rate=100") as server:
        with far.asking(server.port, near.v4) as client:
            [got], took = replies([client], 1000)
            figures.append(f"{got} replies in {took:.2f} s")
            assert 100 <= got <= 100 + took * 100
            with far.asking(server.port, near.v4) as same:
                start = time.monotonic()
                waitUntil(lambda: ask(same, b"again", 0.05), "it may have another", 1)
                [few], _ = replies([client], 200)
                assert few <= 100 * (time.monotonic() - start)
        with far.asking(server.port, near.v4, source=far.second4) as another:
            [got], took = replies([another], 500)
            assert 100 <= got <= 100 + took * 100


def test_rateOfNetwork(hosts: Pair, tmp_path: Path) -> None:
    """
    All addresses of one /64 are one source; those of another are another.
    """
    near, far = hosts
    with near.ours(tmp_path, "--udp-rate=100") as server, ExitStack() as stack:
        one, two, other = (
            stack.enter_context(far.asking(server.port, host, source=source))
            for host, source in (
                (near.v6, far.v6),
                (near.v6, far.second6),
                (near.other6, far.other6),
            )
        )
        found, took = replies([one, two], 300)
        figures.append(f"{found} replies to two of one network in {took:.2f} s")
        assert 100 <= sum(found) <= 100 + took * 100
        [got], took = replies([other], 300)
        assert 100 <= got <= 100 + took * 100


def test_manySources(hosts: Pair, tmp_path: Path, way: str) -> None:
    """
    A million forged sources grow the process by less than 16 MiB, and a client from
    before keeps getting replies. The portable way, which is slower, is tried with
    fewer.
    """
    near, far = hosts
    count = 1_000_000 if way == "fast" else 300_000
    with near.ours(tmp_path) as server, far.asking(server.port, near.v4) as client:
        pid = server.process.pid
        assert ask(client, b"before")
        before, dropped = server.process.memory_info().rss, namespaces.queued(pid, server.port)[1]
        start = time.monotonic()
        asked = answered = 0
        flood = namespaces.flooding(far, pid, near.v4, server.port, count)
        try:
            while flood.poll() is None:
                asked += 1
                answered += ask(client, b"%d" % asked, patience=1)
                time.sleep(0.005)
        finally:
            flood.kill()
            flood.wait()
        took = time.monotonic() - start
        grown = server.process.memory_info().rss - before
        dropped = namespaces.queued(pid, server.port)[1] - dropped
    figures.append(
        f"{count:,} sources in {took:.1f} s ({dropped} dropped by the kernel): "
        f"{grown / MIB:.1f} MiB grown, {answered} of {asked} answered"
    )
    assert flood.returncode == 0
    assert dropped < 10_000
    assert asked > 500
    assert answered >= 0.99 * asked
    assert grown < 16 * MIB


# Peers that take nothing.


def settled(hosts: Pair, server: Server) -> int:
    """
    Count the descriptors of a service that has served somebody, and serves
    nobody now.  It logs verbosely.
    """
    with hosts.far.connected(server.port, hosts.near.v4) as stream:
        stream.sendall(b"hello")
        assert stream.recv(100) == b"hello"
    server.waitFor(r"TCP \S+ closed: 5 bytes")
    return server.process.num_fds()


def givenUp(server: Server, descriptors: int, since: float) -> None:
    """
    A connection is given up after the three seconds that were chosen, not before.
    """
    waitUntil(lambda: server.process.num_fds() == descriptors, "its descriptor is closed")
    took = time.monotonic() - since
    server.waitFor(r"TCP \S+ (stalled|reset): ")
    figures.append(f"given up after {took:.2f} s")
    assert took >= 3


def vanishLinkDown(far: Namespace) -> None:
    """
    Pull out the cable.
    """
    far.ip("link", "set", WIRE, "down")


def vanishSilently(far: Namespace) -> None:
    """
    Lose every packet from now on.
    """
    namespaces.lose(far, 1)


@pytest.mark.parametrize("vanish", [vanishLinkDown, vanishSilently])
@pytest.mark.parametrize("full", [False, True], ids=["oneByte", "full"])
def test_vanished(
    hosts: Pair, tmp_path: Path, vanish: Callable[[Namespace], None], full: bool
) -> None:
    """
    The service gives up a peer that vanishes while bytes wait for it, whether they fill
    all buffers or are just one.
    """
    near, far = hosts
    with near.ours(tmp_path, "--stall-timeout=3", "--verbose") as server:
        descriptors = settled(hosts, server)
        with far.connected(server.port, near.v4) as stream:
            since = time.monotonic()
            if full:
                rules.offer(stream, 64 * MIB, patience=0.3)
            else:
                namespaces.lose(far, 1)
                stream.sendall(b"x")
            pid = server.process.pid
            waitUntil(lambda: namespaces.unacknowledged(pid, server.port) > 0, "bytes wait")
            vanish(far)
            givenUp(server, descriptors, since)


def test_zeroWindow(hosts: Pair, tmp_path: Path) -> None:
    """
    The service gives up a peer that is there but takes nothing, and the peer hears of
    it.
    """
    near, far = hosts
    with near.ours(tmp_path, "--stall-timeout=3", "--verbose") as server:
        descriptors = settled(hosts, server)
        with far.connected(server.port, near.v4) as stream:
            since = time.monotonic()
            rules.untilReset(stream)
            givenUp(server, descriptors, since)


def test_slow(hosts: Pair, tmp_path: Path) -> None:
    """
    A peer that takes a little at a time is kept, for twice as long, and gets
    all its bytes in the end; after a half-close too.
    """
    cases = [(4096, 8 * MIB, 20_000), (4096, 400_000, 20_000), (262_144, 8 * MIB, 400_000)]
    with ThreadPoolExecutor(len(cases)) as pool:
        list(pool.map(lambda case: _slow(hosts, tmp_path, *case), cases))


def _slow(hosts: Pair, cwd: Path, room: int, size: int, bite: int) -> None:
    """
    :param room: bytes of the peer's receive buffer.  Its kernel tells of what
        it took only when a good part of that is free (RFC 9293, section
        3.8.6.2.2).
    :param size: bytes that it sends; the smaller number fits into buffers, so
        that the peer has sent its last byte before it reads much.
    :param bite: bytes that it takes every half second.
    """
    near, far = hosts
    data = noise(size)
    with near.ours(cwd, "--stall-timeout=3", "--verbose") as server:
        with far.inside(), socket.socket() as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            stream.settimeout(PATIENCE)
            stream.connect((near.v4, server.port))
            sender = Thread(target=_sendAndEnd, args=(stream, data))
            sender.start()
            got = b""
            try:
                for turn in range(1, 15):
                    time.sleep(0.5)
                    while len(got) < turn * bite and (more := stream.recv(10_000)):
                        got += more
                figures.append(f"{len(got)} bytes taken in 7 s")
                got += rules.readAll(stream)
            finally:
                sender.join(PATIENCE)
        assert got == data
        server.waitFor(rf"TCP \S+ closed: {size} bytes")


def _sendAndEnd(stream: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # What comes back, or does not, shows it.
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)


# Loss.


def test_loss(hosts: Pair, tmp_path: Path) -> None:
    """
    Over a wire that loses 2 % both ways, each byte of 32 MiB comes back.
    """
    near, far = hosts
    for one in hosts:
        one.execute(*f"ethtool -K {WIRE} tso off gso off gro off".split())
        namespaces.lose(one, 0.02)
    data = noise(32 * MIB)
    with near.ours(tmp_path) as server, far.connected(server.port, near.v4) as stream:
        start = time.monotonic()
        sender = Thread(target=_sendAndEnd, args=(stream, data))
        sender.start()
        got = hashlib.sha256()
        for block in iter(lambda: stream.recv(MIB), b""):
            got.update(block)
        sender.join(PATIENCE)
        took = time.monotonic() - start
    lost = [namespaces.lost(one) for one in hosts]
    figures.append(f"32 MiB under 2 % loss in {took:.1f} s, {lost} packets lost")
    assert min(lost) > 200
    assert got.digest() == hashlib.sha256(data).digest()
