"""
How each capture of the lesson is made: the service on one host, a client on another,
joined by a wire (:mod:`tests.support.namespaces`).
"""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.captures.packets import Packet, read
from tests.support.captures.story import told
from tests.support.live import PATIENCE, Server, waitUntil
from tests.support.namespaces import Namespace, Pair
from tests.support.raw import PROTOCOL, Raw

#: Where the service listens, where nobody does, and the port of the client.
PORT, NOBODY, CLIENT = 1234, 1235, 40000

#: It goes over the wire when all is over (RFC 863).
_DISCARD, END = 9, b"end of the capture"

#: Bytes of a socket's buffer in the scene where all are filled.
_SMALL = 2**14

#: Bytes that are sent at a time there, at first.
_PIECE = 2**12


@dataclass(frozen=True)
class Stage:
    """
    Where a capture is made.

    :param server: the service, on the near host.
    :param seen: the file of packets so far, which are of the far host.
    """

    hosts: Pair
    server: Server
    seen: Path

    @contextmanager
    def client(self, port: int = PORT) -> Iterator[socket.socket]:
        """
        Connect from the far host.
        """
        with self.hosts.far.inside():
            client = socket.socket()
        with client:
            client.bind((self.hosts.far.v4, CLIENT))
            client.settimeout(PATIENCE)
            client.connect((self.hosts.near.v4, port))
            yield client

    def end(self) -> None:
        """
        Have nothing captured that comes after this.
        """
        near, far = self.hosts
        with far.asking(_DISCARD, near.v4) as other:
            other.send(END)
        waitUntil(lambda: any(one.payload == END for one in read(self.seen)), "it ends")

    def waitFor(self, state: str, times: int = 1) -> None:
        """
        Wait until the packets have led so many ends of a connection to a state.
        """
        waitUntil(
            lambda: (
                [one for step in told(read(self.seen)) for one in step.states].count(state) >= times
            ),
            f"{times} are {state}",
        )

    def isClosed(self, host: Namespace) -> bool:
        """
        Tell whether a host has said that it can take no more.
        """
        return any(one.kind == "TCP" and not one.window for one in self.sentBy(host))

    def waitForBytes(self, size: int) -> None:
        """
        Wait until the service has sent so many bytes, or all that the client can take.
        """
        near, far = self.hosts
        waitUntil(
            lambda: sum(one.size for one in self.sentBy(near)) >= size or self.isClosed(far),
            f"{size} bytes are back",
        )

    def sentBy(self, host: Namespace) -> list[Packet]:
        """
        Return what a host has sent.
        """
        return [one for one in read(self.seen) if one.source.startswith(f"{host.v4}:")]


@dataclass(frozen=True)
class Scene:
    """
    One capture.

    :param title: what its drawing shows.
    :param play: has it happen.
    :param options: of the service.
    :param names: of the two hosts, the one that begins first.
    :param prepare: what to do before the service starts.
    """

    title: str
    play: Callable[[Stage], None]
    options: tuple[str, ...] = ()
    names: tuple[str, str] = ("client", "echotwist")
    prepare: Callable[[Pair], None] = lambda hosts: None


def connect(stage: Stage) -> None:
    """
    A connection is made.
    """
    with stage.client():
        stage.waitFor("ESTABLISHED", 2)
        stage.end()


def refused(stage: Stage) -> None:
    """
    Nobody listens.
    """
    with pytest.raises(ConnectionRefusedError), stage.client(NOBODY):
        pass


def echo(stage: Stage) -> None:
    """
    A line goes there and comes back, as from telnet.
    """
    with stage.client() as client:
        client.sendall(b"coucou\r\n")
        _expect(client, b"You said : coucou\r\n")
    stage.waitFor("CLOSED")


def halfClose(stage: Stage) -> None:
    """
    The service answers after the client has half-closed: meanwhile it was stopped.
    """
    with stage.client() as client:
        stage.waitFor("ESTABLISHED", 2)
        stage.server.signal(signal.SIGSTOP)
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        stage.waitFor("FIN_WAIT_2")
        stage.server.signal(signal.SIGCONT)
        _expect(client, b"hello")
    stage.waitFor("CLOSED")


def reset(stage: Stage) -> None:
    """
    The client slams the connection shut (SO_LINGER of socket(7)).
    """
    with stage.client() as client:
        client.sendall(b"hello")
        _expect(client, b"hello")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def timeWait(stage: Stage) -> None:
    """
    The service closes first, as it has waited long enough.
    """
    with stage.client() as client:
        client.sendall(b"hello")
        _expect(client, b"hello")
        assert client.recv(10) == b""
    stage.waitFor("CLOSED")
    waitUntil(lambda: _waiting(stage.hosts.near) == 1, "the service is in TIME_WAIT")
    assert _waiting(stage.hosts.far) == 0


def _waiting(where: Namespace) -> int:
    return where.execute("ss", "-Htan", "state", "time-wait").count("\n")


def backPressure(stage: Stage) -> None:
    """
    The client reads nothing until both windows are closed, and then all.
    """
    near, far = stage.hosts
    with stage.client() as client:
        sent = 0
        while not stage.isClosed(far):
            sent += client.send(b"x" * _PIECE)
            # Or else the window of a late service might close first.
            stage.waitForBytes(sent)
        client.settimeout(0.01)
        while not stage.isClosed(near):
            with suppress(TimeoutError):
                sent += client.send(b"x" * _SMALL)
        client.settimeout(PATIENCE)
        client.shutdown(socket.SHUT_WR)
        _expect(client, b"x" * sent)
    stage.waitFor("CLOSED")


def udp(stage: Stage) -> None:
    """
    Two datagrams, to two addresses of the service.
    """
    near, far = stage.hosts
    for host, payload in ((near.v4, b"hello"), (near.second4, b"who are you?")):
        with far.asking(PORT, host, far.v4, CLIENT) as client:
            client.send(payload)
            assert client.recv(100) == payload


def fragments(stage: Stage) -> None:
    """
    A datagram that is larger than a packet may be.
    """
    near, far = stage.hosts
    with far.asking(PORT, near.v4, far.v4, CLIENT) as client:
        client.send(b"x" * 4000)
        assert len(client.recv(2**16)) == 4000


def udpRefused(stage: Stage) -> None:
    """
    Nobody has bound the port.
    """
    near, far = stage.hosts
    with far.asking(NOBODY, near.v4, far.v4, CLIENT) as client:
        client.send(b"hello")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)


def retransmission(stage: Stage) -> None:
    """
    The first segment with bytes is lost on its way to the service.
    """
    words = "iptables -A INPUT -p tcp --tcp-flags PSH PSH -m statistic --mode nth --every 1000"
    stage.hosts.near.execute(*words.split(), "--packet", "0", "-j", "DROP")
    with stage.client() as client:
        client.sendall(b"hello")
        _expect(client, b"hello")
    stage.waitFor("CLOSED")


def raw(stage: Stage) -> None:
    """
    A packet of a protocol that is neither TCP nor UDP.
    """
    near, far = stage.hosts
    client = Raw(far, near.v4, far.v4)
    with client.socket:
        assert client.asks(b"hello")


def _expect(client: socket.socket, payload: bytes) -> None:
    with client.makefile("rb") as stream:
        assert stream.read(len(payload)) == payload


def shrink(hosts: Pair) -> None:
    """
    Have buffers small, so that few segments fill them; and no segment sent again only
    because its acknowledgment is slow (RFC 8985, section 7.2).
    """
    for one in hosts:
        one.setting("ipv4/tcp_early_retrans", 0)
        with one.inside():
            for name in ("tcp_rmem", "tcp_wmem"):
                Path("/proc/sys/net/ipv4", name).write_text(f"{_SMALL} {_SMALL} {_SMALL}")


SCENES = {
    "connect": Scene("A connection is made: three segments", connect),
    "refused": Scene("Nobody listens: the host resets", refused, names=("client", "host")),
    "echo": Scene("A line goes there and comes back", echo, ("--prefix=You said : ",)),
    "halfclose": Scene("The client ends its side, and the answer comes after it", halfClose),
    "reset": Scene("The client slams the connection shut", reset),
    "timewait": Scene("The service closes first, and waits", timeWait, ("--idle-timeout=2",)),
    "backpressure": Scene("A client that reads nothing", backPressure, prepare=shrink),
    "udp": Scene("Two datagrams to two addresses of a host", udp),
    "fragments": Scene("A datagram of 4,000 bytes, in three packets each way", fragments),
    "udp-refused": Scene("Nobody has bound the port", udpRefused, names=("client", "host")),
    "retransmission": Scene("A segment is lost, and sent again", retransmission),
    "raw": Scene("A packet of IP protocol 253", raw, (f"--raw={PROTOCOL}",)),
}
