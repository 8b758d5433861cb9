"""
Two hosts joined by a wire: network namespaces and a veth pair (ip-netns(8)).

Needs root.  A thread steps into a namespace, and what it opens or starts there
stays there (network_namespaces(7)).
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, ip_address
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import pytest

from tests.support.live import PATIENCE, ROOT, Server, ours, stock
from tests.support.streams import Stream, connected

#: The name of either end of the wire.
WIRE = "veth"

_CLONE_NEWNET = 0x40000000
_SO_RCVBUFFORCE = 33
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}

_libc = ctypes.CDLL(None, use_errno=True)


def run(*words: str) -> str:
    """
    Run a command, and give what it says.

    :raise AssertionError: when it fails.
    """
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """
    One of the two hosts, number 1 or 2.

    Its addresses end in its number, and in that twice: 10.99.0.1 and .11.

    :param name: that ``ip netns`` knows.
    :param number: of the host.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.mac = bytes([2, 0, 0, 0, 0, number])
        self.v4 = f"10.99.0.{number}"
        self.second4 = f"10.99.0.{number}{number}"
        self.v6 = f"2001:db8:99::{number}"
        self.second6 = f"2001:db8:99::{number}{number}"
        #: In another /64 than the other two.
        self.other6 = f"2001:db8:98::{number}"
        self._ports = count(7000 + 100 * number)
        self.linkLocal = f"fe80::{number}"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """
        Have this thread be there.
        """
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{self.name}") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def execute(self, *words: str) -> str:
        """
        Run a command there.
        """
        if shutil.which(words[0]) is None:
            pytest.skip(f"{words[0]} is not installed")
        return run("ip", "netns", "exec", self.name, *words)

    def ip(self, *words: str) -> None:
        """
        Run ``ip`` there.
        """
        run("ip", "-n", self.name, *words)

    def setting(self, name: str, value: int) -> None:
        """
        Change a setting of the kernel there, sysctl(8).

        :param name: below ``net``, with slashes.
        """
        with self.inside():
            Path("/proc/sys/net", name).write_text(str(value))

    def ours(self, cwd: Path, *options: str) -> Server:
        """
        Start the echo service there, on a port that none of the other host's
        has: the guard takes a datagram from the service's own port for its own
        reply.
        """
        with self.inside():
            return ours(cwd, f"--port={next(self._ports)}", *options)

    def stock(self, cwd: Path) -> Server:
        """
        Start there what Twisted ships as an echo.
        """
        with self.inside():
            return stock(cwd)

    def connected(self, port: int, host: str) -> Stream:
        """
        Connect from there to a stream server.
        """
        with self.inside():
            return connected(port, host)

    def asking(self, port: int, host: str, source: str = "", sourcePort: int = 0) -> socket.socket:
        """
        Make a connected datagram socket there.

        :param source: its own address, if it matters.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with self.inside():
            client = socket.socket(family, socket.SOCK_DGRAM)
            client.bind((source, sourcePort))
            # Python takes no scope from the text alone.
            client.connect(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4])
        client.settimeout(PATIENCE)
        client.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 2**22)
        return client

    def sentDatagrams(self) -> int:
        """
        Count what all UDP sockets there have sent.
        """
        with self.inside():
            old = Path("/proc/thread-self/net/snmp").read_text().split("\n")
            new = Path("/proc/thread-self/net/snmp6")
            words = new.read_text().split() if new.exists() else []
        names, numbers = (line.split() for line in old if line.startswith("Udp:"))
        count = int(numbers[names.index("OutDatagrams")])
        if "Udp6OutDatagrams" in words:
            count += int(words[words.index("Udp6OutDatagrams") + 1])
        return count

    def inject(self, *packets: bytes, mac: bytes) -> None:
        """
        Put IP packets on the wire as they are, whatever the kernel thinks of them.

        :param mac: the network interface that they go to.
        """
        with self.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as wire:
            for packet in packets:
                wire.sendto(packet, (WIRE, _ETHERTYPES[packet[0] >> 4], 0, 0, mac))

    @contextmanager
    def capture(self) -> Iterator[socket.socket]:
        """
        See what comes from the wire from now on; :func:`udpOf` reads it.
        """
        with self.inside():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        with wire:
            wire.bind((WIRE, _ETH_P_ALL))
            wire.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 2**26)
            wire.setblocking(False)
            yield wire


class Pair(NamedTuple):
    """
    Two hosts: where the service runs, and where its clients are.
    """

    near: Namespace
    far: Namespace

    def sentDatagrams(self) -> int:
        """
        Count what all UDP sockets of both have sent.
        """
        return self.near.sentDatagrams() + self.far.sentDatagrams()


@contextmanager
def pair() -> Iterator[Pair]:
    """
    Make two hosts joined by a wire, where nothing has to be found out first:
    neither neighbours nor whether an address is taken.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    near, far = (Namespace(f"echotwist{os.getpid()}-{number}", number) for number in (1, 2))
    with ExitStack() as stack:
        for one in (near, far):
            try:
                run("ip", "netns", "add", one.name)
            except (AssertionError, FileNotFoundError) as error:
                pytest.skip(f"cannot make a network namespace: {error}")
            stack.callback(run, "ip", "netns", "del", one.name)
        join(near, far)
        yield Pair(near, far)


def join(near: Namespace, far: Namespace) -> None:
    """
    Join two hosts by a wire.
    """
    end = f"name {WIRE} netns {far.name} address {far.mac.hex(':')}".split()
    near.ip(*f"link add {WIRE} address {near.mac.hex(':')} type veth peer".split(), *end)
    for one, other in ((near, far), (far, near)):
        _furnish(one, other)


def _furnish(one: Namespace, other: Namespace) -> None:
    # Let in, and send to, as many strange addresses as the kernel can be made to.
    for place in ("all", "default", WIRE):
        one.setting(f"ipv4/conf/{place}/rp_filter", 0)
        one.setting(f"ipv4/conf/{place}/accept_local", 1)
    one.ip("link", "set", WIRE, "addrgenmode", "none")
    one.ip("link", "set", "lo", "up")
    one.ip("link", "set", WIRE, "up")
    for host in (one.v4, one.second4):
        one.ip("addr", "add", f"{host}/24", "brd", "+", "dev", WIRE)
    for host in (one.v6, one.second6, one.other6, one.linkLocal):
        one.ip("addr", "add", f"{host}/64", "dev", WIRE, "nodad")
    for host in (other.v4, other.second4, other.v6, other.second6, other.other6, other.linkLocal):
        mac = other.mac.hex(":")
        one.ip("neigh", "replace", host, "lladdr", mac, "nud", "permanent", "dev", WIRE)
    one.ip("route", "add", "default", "via", other.v4)
    one.ip("-6", "route", "add", "default", "via", other.v6)


def lose(where: Namespace, chance: float) -> None:
    """
    Have the kernel lose some of what comes in from the wire.

    :param chance: 1 for all of it.
    """
    words = ["iptables", "-A", "INPUT", "-i", WIRE]
    if chance < 1:
        words += ["-m", "statistic", "--mode", "random", "--probability", str(chance)]
    where.execute(*words, "-j", "DROP")


def lost(where: Namespace) -> int:
    """
    Count the packets that :func:`lose` has lost.
    """
    return int(where.execute("iptables", "-L", "INPUT", "-nvx").splitlines()[2].split()[0])


def packet(source: str, sourcePort: int, target: str, port: int, payload: bytes) -> bytes:
    """
    Make a UDP datagram in its IP packet (RFC 768, 791, 8200).
    """
    one, other = ip_address(source), ip_address(target)
    size = 8 + len(payload)
    pseudo = one.packed + other.packed + struct.pack("!IxxxB", size, socket.IPPROTO_UDP)
    header = struct.pack("!HHHH", sourcePort, port, size, 0)
    total = _checksum(pseudo + header + payload) or 0xFFFF
    datagram = struct.pack("!HHHH", sourcePort, port, size, total) + payload
    if not isinstance(one, IPv4Address):
        return struct.pack("!IHBB", 6 << 28, size, socket.IPPROTO_UDP, 64) + pseudo[:32] + datagram
    start = struct.pack("!BBHHHBB", 0x45, 0, 20 + size, 0, 0, 64, socket.IPPROTO_UDP)
    check = struct.pack("!H", _checksum(start + pseudo[:8]))
    return start + check + pseudo[:8] + datagram


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udpOf(wire: socket.socket, port: int) -> list[tuple[str, bytes]]:
    """
    Return the datagrams that have come from a port: destination, and bytes.

    :param wire: made by :meth:`Namespace.capture`.
    """
    found: list[tuple[str, bytes]] = []
    while True:
        try:
            data, (_, _, direction, *_) = wire.recvfrom(2**16)
        except BlockingIOError:
            return found
        size = 40 if data[0] >> 4 == 6 else (data[0] & 15) * 4
        protocol = data[6] if data[0] >> 4 == 6 else data[9]
        if direction == _PACKET_OUTGOING or protocol != socket.IPPROTO_UDP:
            continue
        source, target = struct.unpack_from("!HH", data, size)
        if source == port:
            host = data[24:40] if data[0] >> 4 == 6 else data[16:20]
            found.append((f"{ip_address(host)} {target}", data[size + 8 :]))


class Relay:
    """
    Carries datagrams between two services, late: the wire between them is long.

    :param where: its host.
    :param one: address and port of the service that gets the first datagram.
    :param other: those of the other.
    :param delay: in seconds, each way.
    :ivar carried: datagrams so far.
    :ivar lastAt: when it carried one, in the time of ``time.monotonic``.
    """

    def __init__(
        self, where: Namespace, one: tuple[str, int], other: tuple[str, int], delay: float
    ) -> None:
        self.delay = delay
        self.carried = 0
        self.lastAt = time.monotonic()
        self._ends = [where.asking(one[1], one[0]), where.asking(other[1], other[0])]
        self._stop = Event()
        self._thread = Thread(target=self._carry)

    def _carry(self) -> None:
        held: deque[tuple[float, socket.socket, bytes]] = deque()
        while not self._stop.is_set():
            wait = min(0.1, max(0.0, held[0][0] - time.monotonic())) if held else 0.1
            for end in select.select(self._ends, [], [], wait)[0]:
                across = self._ends[1 - self._ends.index(end)]
                held.append((time.monotonic() + self.delay, across, end.recv(2**16)))
            while held and held[0][0] <= time.monotonic():
                _, end, data = held.popleft()
                end.send(data)
                self.carried += 1
                self.lastAt = time.monotonic()

    def begin(self, payloads: Sequence[bytes]) -> None:
        """
        Send the first datagrams.
        """
        for payload in payloads:
            self._ends[0].send(payload)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)
        for end in self._ends:
            end.close()


def queued(pid: int, port: int) -> tuple[int, int]:
    """
    Tell what waits to be read from a UDP port: how many bytes of the kernel's
    memory, and how many datagrams it has had to drop.

    :param pid: of a process in the namespace.
    """
    rows = _sockets(pid, port, "udp")
    return sum(_figures(words[4])[1] for words in rows), sum(int(words[-1]) for words in rows)


def unacknowledged(pid: int, port: int) -> int:
    """
    Count the bytes that wait for TCP peers of a port.

    :param pid: of a process in the namespace.
    """
    return sum(_figures(words[4])[0] for words in _sockets(pid, port, "tcp"))


def _sockets(pid: int, port: int, kind: str) -> list[list[str]]:
    # Of proc_net_tcp.txt and proc(5): local address, port in figures of base 16.
    tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in (kind, f"{kind}6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return [words for words in rows if _figures(words[1])[1] == port]


def _figures(pair: str) -> tuple[int, int]:
    one, _, other = pair.partition(":")
    return int(one, 16), int(other, 16)


def flood(pid: int, host: str, port: int, sources: int) -> None:
    """
    Send one datagram from each of many IPv4 addresses that are not ours, as
    fast as the service takes them.

    :param pid: of the service.
    """
    datagram = struct.pack("!HHHH", 40_000, port, 12, 0) + b"spam"
    start = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0)
    rest = socket.inet_aton(host) + datagram
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for number in range(sources):
            # Far apart and in no order, so that no two are one's neighbours.
            source = 0x0B000000 + number * 7_654_321 % 0xC0000000
            if source >> 24 == 127:
                source -= 0x01000000 - 0x00800000
            raw.sendto(start + source.to_bytes(4, "big") + rest, (host, 0))
            while number % 32 == 0 and queued(pid, port)[0] > 60_000:
                time.sleep(0.0005)


def flooding(where: Namespace, *arguments: object) -> subprocess.Popen[bytes]:
    """
    Run :func:`flood` in a process of its own.
    """
    code = f"from tests.support.namespaces import flood; flood{arguments!r}"
    with where.inside():
        return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)


def ask(client: socket.socket, payload: bytes, patience: float = 10.0) -> bool:
    """
    Tell whether a datagram is answered, with just its bytes.
    """
    client.settimeout(patience)
    client.send(payload)
    try:
        return client.recv(2**16) == payload
    except (TimeoutError, ConnectionRefusedError):
        return False


def received(client: socket.socket, quiet: float) -> list[Any]:
    """
    Take all datagrams that come, until none has come for some seconds.
    """
    client.settimeout(quiet)
    found = []
    try:
        while True:
            found.append(client.recv(2**16))
    except TimeoutError:
        return found
