"""
Each rule for datagrams, over each kind of datagrams.
"""

from __future__ import annotations

import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import rules
from tests.support.kinds import Client, DatagramKind
from tests.support.live import Server, waitUntil, way
from tests.support.metrics import Watched
from tests.support.table import datagrams


@pytest.fixture(scope="module")
def wordy(
    kind: DatagramKind, way: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """
    A service with a verbose log.
    """
    with kind.ours(
        tmp_path_factory.mktemp("wordy"), "--verbose", "--prefix=You said : "
    ) as service:
        yield service


@pytest.fixture
def server(watched: Watched) -> Server:
    """
    Its process.
    """
    return watched.server


def fresh() -> bytes:
    """
    Return 8 bytes that were never sent: the same again and again may be a loop.
    """
    return secrets.token_bytes(8)


def isAnswered(kind: DatagramKind, server: Server) -> None:
    """
    A new client is answered; it asks again, as a datagram is lost that finds a
    full buffer.
    """
    with kind.client(server) as client:
        client.settimeout(0.2)
        waitUntil(lambda: _answers(kind, client), "it is answered")


def _answers(kind: DatagramKind, client: Client) -> bool:
    word = fresh()
    # Of a raw packet that finds all buffers full, Linux says that its protocol is unknown.
    with suppress(OSError):
        client.send(word)
        while client.recv(100) != word:
            assert kind.label == "raw", "it got what it has not asked for"
        return True
    return False


def offerAll(client: Client, count: int) -> int:
    """
    Send so many numbers, or as many as are taken at once.

    :return: how many.
    """
    client.setblocking(False)
    number = 0
    with suppress(BlockingIOError):
        for number in range(count):
            client.send(b"%d" % number)
        number += 1
    client.settimeout(60)
    return number


@datagrams("whole")
def test_whole(kind: DatagramKind, server: Server) -> None:
    """
    Datagrams of any size come back whole, the largest and the empty too.
    """
    with kind.client(server) as client:
        for size in kind.sizes:
            rules.whole(client, size)


@datagrams("asked address")
def test_askedAddress(kind: DatagramKind, server: Server) -> None:
    """
    The reply comes from the address that was asked.
    """
    for host in ("127.0.0.1", "127.0.0.2", "127.3.4.5"):
        with kind.client(server, host) as client:
            assert client.ask(b"who are you?") == b"who are you?"


@datagrams("to each its own")
def test_many(kind: DatagramKind, server: Server) -> None:
    """
    Each of several clients gets the replies to its own datagrams.
    """
    clients = [kind.client(server) for _ in range(5)]
    for turn in range(20):
        for number, client in enumerate(clients):
            client.send(b"%d %d" % (number, turn))
        for number, client in enumerate(clients):
            assert client.recv(100) == b"%d %d" % (number, turn)
    for client in clients:
        client.close()


@datagrams("no loop")
def test_once(kind: DatagramKind, server: Server) -> None:
    """
    One datagram has one reply.
    """
    with kind.client(server) as client:
        for _ in range(100):
            word = fresh()
            assert client.ask(word) == word
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(100)


@datagrams("refusals")
def test_refusals(kind: DatagramKind, watched: Watched) -> None:
    """
    A datagram that no client can have sent, or that asks all hosts at once, is not
    answered; it is counted, and logged once.
    """
    server = watched.server
    for _ in range(10):
        with kind.unanswerable(server) as client:
            client.send(b"hello")
    isAnswered(kind, server)
    server.waitFor(f"{kind.transport} refused: ")

    def refused() -> float:
        return sum(
            count
            for labels, count in watched.samples().items()
            if labels[0] == "echotwist_refused_total" and kind.label in labels
        )

    waitUntil(lambda: refused() == 10, "all are counted")
    assert len([line for line in server.lines if f"{kind.transport} refused: " in line]) == 1


@datagrams("allowed networks")
def test_access(kind: DatagramKind, tmp_path: Path) -> None:
    """
    A peer that is not allowed gets no reply, is counted and logged once; another is
    answered.
    """
    source = "127.0.0.9"
    watched = Watched(tmp_path, "--allow=127.0.0.1/24", f"--deny={source}", start=kind.ours)
    count = ("echotwist_refused_total", *sorted((kind.label, "not allowed")))
    with watched.server as server, kind.client(server, source=source) as denied:
        assert watched.samples()[count] == 0
        isAnswered(kind, server)
        for _ in range(3):
            denied.send(fresh())
        isAnswered(kind, server)
        denied.setblocking(False)
        with pytest.raises(BlockingIOError):
            denied.recv(100)
        assert watched.samples()[count] == 3
        [line] = [line for line in server.lines if "refused" in line]
        assert f"{kind.transport} refused: not allowed, last from {kind.peer(denied)}; see" in line


@datagrams("gone peer")
def test_gonePeer(kind: DatagramKind, server: Server) -> None:
    """
    Peers that are gone before their replies do no harm, and cause no more than one log
    line.
    """
    said = len(server.lines)
    for _ in range(100):
        with kind.client(server) as client:
            client.send(b"gone")
    isAnswered(kind, server)
    assert len(server.lines) <= said + 1, server.log


@datagrams("peer that never reads")
def test_neverReads(kind: DatagramKind, server: Server) -> None:
    """
    A peer that sends on and never reads keeps no other waiting, and costs no memory.
    """
    isAnswered(kind, server)
    before, said = server.process.memory_info().rss, len(server.lines)
    with kind.client(server) as client:
        for _ in range(2000):
            client.send(bytes(8000))
        isAnswered(kind, server)
        rules.answers(server.door)
    assert server.process.memory_info().rss < before + rules.MIB
    assert len(server.lines) <= said + 1, server.log


@datagrams("errors of the kernel")
@pytest.mark.parametrize("calls", ["recvmsg,recvmmsg,recvfrom", "sendmsg,sendmmsg,sendto"])
def test_errors(kind: DatagramKind, server: Server, calls: str, tmp_path: Path) -> None:
    """
    No error closes the port, or fills the log.
    """
    for error in ("ENOBUFS", "EPERM", "ENOMEM"):
        said, trace = len(server.lines), tmp_path / error
        with rules.injected(server, calls, error, 3, trace), kind.client(server) as client:
            assert rules.answered(client, [fresh() for _ in range(20)]) >= 16
        assert trace.read_text().count("INJECTED") >= 3
        isAnswered(kind, server)
        assert len(server.lines) <= said + 1, server.log


@datagrams("SIGTERM, backlog")
def test_backlog(kind: DatagramKind, tmp_path: Path) -> None:
    """
    What the kernel has taken already is answered, and the status is 0.  It takes more
    small datagrams than the 256 for which most systems have room by default.
    """
    with kind.ours(tmp_path) as server:
        isAnswered(kind, server)
        server.signal(signal.SIGSTOP)
        with kind.client(server) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
            count = offerAll(client, 400)
            server.signal(signal.SIGTERM)
            server.signal(signal.SIGCONT)
            assert count >= 10
            assert [client.recv(10) for _ in range(count)] == [b"%d" % n for n in range(count)]
        assert server.wait() == 0


@datagrams("flood")
def test_fairness(kind: DatagramKind, server: Server) -> None:
    """
    While 1-byte datagrams come as fast as they can be sent, streams go on.
    """
    with kind.client(server) as client:
        rules.fairness(server, client, most=32 if way or kind.label != "udp" else 64)


@datagrams("rest")
def test_rest(kind: DatagramKind, server: Server) -> None:
    """
    The process does not wake up while no client sends.
    """
    isAnswered(kind, server)
    rules.rest(server, 1)


@datagrams("prefix")
def test_prefix(kind: DatagramKind, wordy: Server) -> None:
    """
    The prefix comes before each datagram.
    """
    with kind.client(wordy) as client:
        assert client.ask(b"one\ntwo") == b"You said : one\ntwo"


@datagrams("counters")
def test_counters(kind: DatagramKind, watched: Watched) -> None:
    """
    Prometheus reads what happened, under the kind's name.
    """
    names = ["received_datagrams", "sent_datagrams", "received_bytes", "sent_bytes"]

    def count() -> list[float]:
        samples = watched.samples()
        return [samples[f"echotwist_{name}_total", kind.label] for name in names]

    isAnswered(kind, watched.server)
    before = count()
    with kind.client(watched.server) as client:
        client.ask(fresh())
        client.ask(fresh())
    assert [now - then for now, then in zip(count(), before, strict=True)] == [2, 2, 16, 16]


@datagrams("log line")
def test_verbose(kind: DatagramKind, wordy: Server) -> None:
    """
    With ``--verbose`` the service logs each datagram's peer, size and beginning.
    """
    with kind.client(wordy) as client:
        client.ask(b"\n{spoofed}\n")
        peer = kind.peer(client)
        wordy.waitFor(rf"{kind.transport} \S*{peer} 11 bytes: '\\n\{{spoofed\}}\\n'")
