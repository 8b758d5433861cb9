"""
A service that misbehaves on purpose: what a client counts is what it says it did.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from echotwist.impair.grammar import Effect, Impairments
from echotwist.impair.network import Network
from echotwist.impair.streampath import StreamPath
from tests.support.kinds import DATAGRAMS, MAY_RAW, STREAMS, Client, DatagramKind, StreamKind
from tests.support.live import BIN, PATIENCE, mistake, ours, waitUntil
from tests.support.metrics import Watched

#: Kinds of streams that differ in how they are written to, and others.
BOTH_WAYS = [one for one in STREAMS if one.name in ("TCP", "TLS 1.3")]
OTHERS = [one for one in STREAMS if one.name in ("UNIX", "PROXY v1")]

#: Kinds of datagrams.
SOME_DATAGRAMS = [
    pytest.param(one, marks=pytest.mark.skipif("raw" in one.name and not MAY_RAW, reason="root"))
    for one in DATAGRAMS
    if one.name in ("UDP", "UNIX datagram", "raw IPv4")
]

#: All that can happen to datagrams at once, so that each is still known by its place.
DAMAGE = "loss=20%,duplicate=10%,corrupt=1e-3,truncate=10%,seed=7"


def expected(text: str, name: str, asked: list[bytes]) -> tuple[list[bytes], Counter[Effect]]:
    """
    Tell what comes back of datagrams that one peer, the first, sends.

    :param name: of the transport.
    """
    counts: Counter[Effect] = Counter()
    network = Network(Impairments.of([text]), name, counts)
    for datagram in asked:
        network.put(0.0, datagram, "peer")
    return [datagram for datagram, _, _ in network.due(1e9)], counts


def told(watched: Watched, label: str) -> Counter[Effect]:
    """
    Tell what the service says it did wrong, by the label of a transport.
    """
    found: Counter[Effect] = Counter()
    for (name, *labels), value in watched.samples().items():
        if name.startswith("echotwist_impaired_") and name.endswith("_total") and label in labels:
            [effect] = set(labels) - {label}
            found[name.split("_")[2], effect] = int(value)
    return found


def exchange(client: Client, asked: list[bytes], count: int) -> list[bytes]:
    """
    Send datagrams, and wait for so many replies.
    """
    for datagram in asked:
        client.send(datagram)
    return [client.recv(2**20) for _ in range(count)]


@pytest.mark.oneWay
@pytest.mark.parametrize("kind", SOME_DATAGRAMS, indirect=True, ids=lambda one: one.name)
def test_damage(kind: DatagramKind, tmp_path: Path) -> None:
    """
    With a seed it is known to the bit what comes back; it is what the service says, too.
    """
    watched = Watched(tmp_path, f"--impair={DAMAGE}", start=kind.ours)
    with watched.server, kind.client(watched.server) as client:
        asked = [number.to_bytes(100, "big") for number in range(100)]
        replies, counts = expected(DAMAGE, kind.transport, asked)
        assert exchange(client, asked, len(replies)) == replies
        assert min(counts.values()) > 0
        assert told(watched, kind.label) == counts
        assert "misbehaves on purpose: --impair " + DAMAGE in watched.server.log


@pytest.mark.oneWay
def test_order(tmp_path: Path) -> None:
    """
    However many are overtaken, a client counts as many as the service.
    """
    watched = Watched(tmp_path, "--impair", "delay=20ms,jitter=normal:10ms,reorder=10%")
    with watched.server, Client(type=socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", watched.server.port))
        replies = exchange(client, [number.to_bytes(2, "big") for number in range(200)], 200)
        newest = late = 0
        for number in (int.from_bytes(one, "big") for one in replies):
            late += number < newest
            newest = max(newest, number)
        assert told(watched, "udp")["datagrams", "reordered"] == late > 0


@pytest.mark.parametrize("kind", BOTH_WAYS, indirect=True, ids=lambda one: one.name)
def test_streams(kind: StreamKind, tmp_path: Path) -> None:
    """
    Streams come late, slowly and in pieces; the end of one is ignored, another ends by a
    reset after just so many bytes.
    """
    checkStreams(kind, tmp_path)


@pytest.mark.oneWay
@pytest.mark.parametrize("kind", OTHERS, indirect=True, ids=lambda one: one.name)
def test_otherStreams(kind: StreamKind, tmp_path: Path) -> None:
    """
    So do those of other kinds.
    """
    checkStreams(kind, tmp_path)


def checkStreams(kind: StreamKind, tmp_path: Path) -> None:
    """
    Check that streams go wrong as they should.
    """
    words = "delay=20ms,rate=4mbit,chunk=100..200,halfclose=ignore,reset=after:10k"
    watched = Watched(tmp_path, f"--impair={words}", start=kind.ours)
    with (
        watched.server,
        kind.connect(watched.server) as stream,
        kind.connect(watched.server) as two,
    ):
        began = time.monotonic()
        stream.sendall(b"x" * 5000)
        got = received(stream, 5000)
        assert got == b"x" * 5000
        assert time.monotonic() - began >= 0.02 + 5000 * 8 / 4e6
        stream.endSending()
        ignored = ("connections", "half-close ignored")
        waitUntil(lambda: told(watched, kind.label)[ignored] == 1, "it is ignored")
        two.sendall(b"y" * 20_000)
        got = received(two, 10_240)
        assert got == b"y" * 10_240
        if kind.transport == "UNIX":  # which know no reset
            assert two.recv(9) == b""
        else:
            with pytest.raises(ConnectionError):
                two.recv(9)
        stream.setblocking(False)
        with pytest.raises(BlockingIOError):
            stream.recv(9)
        counts = told(watched, kind.label)
        assert counts["connections", "reset"] == 1
        assert counts["bytes", "delayed"] == 15_240
        assert 15_240 / 200 <= counts["pieces", "cut"] <= 15_240 / 100


def received(stream: Any, size: int) -> bytes:
    """
    Receive so many bytes, or as many as there are.
    """
    data = b""
    while len(data) < size and (more := stream.recv(size - len(data))):
        data += more
    return data


@pytest.mark.oneWay
def test_share(tmp_path: Path) -> None:
    """
    A share of the connections is reset at its first byte, the others are closed after
    it: which ones, the seed says.
    """
    text = "reset=40%,close=early,seed=7"
    paths = [StreamPath(Impairments.of([text]), "TCP", number, Counter()) for number in range(12)]
    watched, found = Watched(tmp_path, f"--impair={text}"), []
    with watched.server as server:
        for _ in paths:
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as stream:
                stream.sendall(b"hello")
                try:
                    assert received(stream, 5) == b"h"
                    found.append("close")
                except ConnectionError:
                    found.append("reset")
        assert found == [path.ending for path in paths]
        counts = told(watched, "tcp")
        assert counts["connections", "reset"] == found.count("reset")
        assert counts["connections", "closed"] == found.count("close")


@pytest.mark.oneWay
@pytest.mark.parametrize("count", [1, 2])
def test_drain(tmp_path: Path, count: int) -> None:
    """
    Stopping waits for what is held back, of streams and of datagrams, in one process
    and in several.
    """
    with (
        ours(tmp_path, "--impair=delay=1s", f"--workers={count}") as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as stream,
        Client(type=socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", server.port))
        for one in (stream, client):
            one.sendall(b"hello")
        time.sleep(0.1)
        server.signal(signal.SIGTERM)
        assert [stream.recv(9), client.recv(9)] == [b"hello", b"hello"]
        assert stream.recv(9) == b""
        assert server.wait() == 0


@pytest.mark.oneWay
def test_atOnce(tmp_path: Path) -> None:
    """
    What is held back keeps nobody waiting for longer than ``--drain``, and not at all
    after a second signal.
    """
    for drain in ("0.1", "1000"):
        with (
            ours(tmp_path, "--impair=delay=3000s", f"--drain={drain}") as server,
            socket.create_connection(("127.0.0.1", server.port), PATIENCE) as stream,
            Client(type=socket.SOCK_DGRAM) as client,
        ):
            client.connect(("127.0.0.1", server.port))
            for one in (stream, client):
                one.sendall(b"hello")
            server.signal(signal.SIGTERM)
            if drain == "1000":
                server.waitFor("Received SIGTERM")
                server.signal(signal.SIGINT)
            with pytest.raises(ConnectionError):
                stream.recv(9)
            assert server.wait() == 0


@pytest.mark.oneWay
def test_workers(tmp_path: Path) -> None:
    """
    Workers misbehave as one process would, behind a prefix too; the parent says it
    once, with the seed that it chose for all, and adds up what they did.
    """
    watched = Watched(tmp_path, "--workers=2", "--prefix=> ", "--impair=loss=20%")
    with watched.server as server, Client(type=socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", server.port))
        text = server.waitFor("on purpose: --impair (loss=20%,seed=[0-9]+)")[1]
        assert server.log.count("on purpose") == 1
        assert told(watched, "udp") == {("datagrams", "lost"): 0}
        asked = [number.to_bytes(2, "big") for number in range(100)]
        replies, counts = expected(text, "UDP", [b"> " + one for one in asked])
        assert exchange(client, asked, len(replies)) == replies
        assert told(watched, "udp") == counts


@pytest.mark.oneWay
def test_probe(tmp_path: Path) -> None:
    """
    The probe tells of the path just what the service did to it.
    """
    text = "loss=5%,duplicate=5%,corrupt=5e-5,delay=20ms,jitter=15ms,seed=7"
    watched = Watched(tmp_path, f"--impair={text}")
    with watched.server as server:
        words = f"--count=300 --rate=500 --timeout=5 --json udp:127.0.0.1:{server.port}"
        command = [sys.executable, "-m", "echotwist.probe", "ping", *words.split()]
        run = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE)
        [report] = json.loads(run.stdout)["results"]
        counts = told(watched, "udp")
        assert report["late"] == 0
        assert report["lost"]["unanswered"] == counts["datagrams", "lost"] > 0
        assert report["twice"] == counts["datagrams", "duplicated"] > 0
        assert report["damaged"] == counts["datagrams", "corrupted"] > 0
        assert report["reordered"]["count"] == counts["datagrams", "reordered"] > 0


@pytest.mark.oneWay
def test_mistakes(tmp_path: Path) -> None:
    """
    What means nothing, or nothing here, is one line with the word that is wrong.
    """
    command: list[str | Path] = [BIN / "twistd", "--nodaemon", "--pidfile=", "echo", "--port=0"]
    for words, line in {
        ("--impair=delay=1ms,loss=101%",): "echo: --impair loss=101%: not a share from 0%",
        ("--impair=delay=1ms,loss=1%", "--no-udp"): "echo: impair loss=1%: it is for datagrams",
        ("--impair=chunk=1", "--no-tcp", "--workers=2"): "echo: impair chunk=1: it is for streams",
    }.items():
        assert mistake(tmp_path, *command, *words).startswith(line)
