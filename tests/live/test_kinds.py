"""
Each rule for streams, over each kind of stream.
"""

from __future__ import annotations

import hashlib
import select
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Queue
from threading import Barrier, Event, Thread

import pytest

from tests.support import rules
from tests.support.kinds import StreamKind
from tests.support.live import PATIENCE, Server, figures, waitUntil
from tests.support.metrics import Watched
from tests.support.rules import MIB, offer, readAll
from tests.support.stopping import halfWay, queued, stopped
from tests.support.streams import Stream, connected, isServed, serve
from tests.support.table import streams

#: Seconds after which no more is taken from a client that does not read.
FULL = 0.3

#: More than is ever taken from a client that does not read, in bytes.
PLENTY = 64 * MIB


@pytest.fixture(scope="module")
def strict(
    kind: StreamKind, way: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """
    A service with short timeouts.
    """
    folder = tmp_path_factory.mktemp("strict")
    with kind.ours(folder, "--stall-timeout=1", "--verbose") as service:
        yield service


@pytest.fixture(scope="module")
def limited(
    kind: StreamKind, way: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """
    A service that serves ten connections of each peer.
    """
    with kind.ours(tmp_path_factory.mktemp("limited"), "--max-per-peer=10") as service:
        yield service


@pytest.fixture
def server(watched: Watched) -> Server:
    """
    Its process.
    """
    return watched.server


@streams("half-close")
def test_halfClose(kind: StreamKind, server: Server) -> None:
    """
    A client that half-closes gets back all that it sent, and then the end.
    """
    for size in rules.SIZES:
        rules.halfClose(server.door, size, times=5)


@streams("many at once")
def test_many(kind: StreamKind, server: Server) -> None:
    """
    Many clients that send at the same time each get their own bytes back.
    """

    def talk(number: int) -> None:
        with connected(server.door) as stream:
            everybody.wait()
            for turn in range(20):
                words = f"{number}: {turn};".encode("ascii")
                stream.sendall(words)
                assert stream.recv(100) == words

    everybody = Barrier(40)
    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(talk, range(40))) == [None] * 40


@streams("long stream")
def test_bulk(kind: StreamKind, server: Server) -> None:
    """
    32 MiB come back by SHA-256.
    """
    rules.bulk(server.door, 32)


@streams("urgent bytes")
def test_urgent(kind: StreamKind, server: Server) -> None:
    """
    Bytes that are sent as urgent come back in their places, alone or in a long stream.
    """

    def send(stream: Stream) -> None:
        for number in range(200):
            urgent = number.to_bytes(1, "big")
            for data, flags in ((urgent * 2**16, 0), (urgent, socket.MSG_OOB)):
                sent.update(data)
                while data := data[stream.send(data, flags) :]:
                    pass
        stream.endSending()

    with connected(server.door) as stream:
        for byte in (b"a", b"b"):
            stream.send(byte, socket.MSG_OOB)
            assert stream.recv(10) == byte
    sent, got = hashlib.sha256(), hashlib.sha256()
    with connected(server.door) as stream, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send, stream)
        for data in iter(lambda: stream.recv(MIB), b""):
            got.update(data)
        sending.result()
    assert got.digest() == sent.digest()


def most(kind: StreamKind) -> int:
    """
    Tell how many bytes may be taken from a client that never reads, in the kernel's
    buffers.

    Where reading takes long, as over TLS, Linux gives the peer a larger window
    meanwhile.
    """
    return (48 if kind.transport == "TLS" else 16) * MIB


@streams("back-pressure")
def test_backPressure(kind: StreamKind, server: Server) -> None:
    """
    From a client that never reads, the service stops reading soon, and uses no memory
    for it.
    """
    rules.backPressure(server, clients=3, growth=MIB, patience=FULL, most=most(kind))


@streams("resets")
def test_resets(kind: StreamKind, server: Server) -> None:
    """
    Connections that are reset in any state leave nothing behind.
    """
    rules.resets(server, 150)


@streams("rest")
def test_rest(kind: StreamKind, strict: Server) -> None:
    """
    The process does not wake up while no client sends.
    """
    rules.idle(strict, connections=20, seconds=0.5)


@streams("counters")
def test_counters(kind: StreamKind, watched: Watched) -> None:
    """
    Prometheus reads what happened, under the kind's name.
    """
    names = ["connections_total", "received_bytes_total", "sent_bytes_total"]

    def count() -> list[float]:
        samples = watched.samples()
        return [samples[f"echotwist_{name}", kind.label] for name in names]

    def active() -> float:
        return watched.samples()["echotwist_active_connections", kind.label]

    waitUntil(lambda: active() == 0, "nobody is connected")
    before = count()
    with connected(watched.server.door) as stream:
        stream.sendall(b"hello")
        assert stream.recv(100) == b"hello"
        assert active() == 1
    waitUntil(lambda: active() == 0, "nobody is connected")
    assert [now - then for now, then in zip(count(), before, strict=True)] == [1, 5, 5]


@streams("errors of the kernel")
def test_errors(kind: StreamKind, server: Server, tmp_path: Path) -> None:
    """
    Whatever call fails, others are served afterwards, and the log stays short.
    """
    for number, (calls, error) in enumerate(
        [
            ("accept4", "ENOMEM"),
            ("read,recvfrom", "ENOMEM"),
            ("write,sendto", "ENOBUFS"),
            ("epoll_ctl", "ENOMEM"),
        ]
    ):
        trace = tmp_path / str(number)
        said = len(server.lines)
        with rules.injected(server, calls, error, 3, trace):
            _provoke(server)
        assert "INJECTED" in trace.read_text()
        rules.halfClose(server.door, 100_000, times=3)
        lines = [line.partition("]")[2] for line in server.lines[said:]]
        assert len(lines) <= 2, server.log
        assert max(Counter(lines).values(), default=0) <= 1, server.log


def _provoke(server: Server) -> None:
    """
    Speak to the service while its calls fail; no answer is expected.
    """

    def ask(_: int) -> None:
        with suppress(Exception), connected(server.door) as stream:
            stream.settimeout(0.3)
            stream.sendall(b"hello")
            stream.recv(100)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(12)))


@streams("limit on all")
def test_limit(kind: StreamKind, tmp_path: Path) -> None:
    """
    Connections over the limit are reset, the others notice nothing, and when one ends
    there is room for another.
    """
    with kind.ours(tmp_path, "--max-connections=10") as server, ExitStack() as stack:
        served = serve(server, stack, 30)
        assert len(served) == 10
        assert serve(server, stack, 5) == []
        assert all(map(isServed, served))
        served.pop().close()
        waitUntil(lambda: len(serve(server, stack, 1)) == 1, "there is room again")
        [line] = [line for line in server.lines if "refused" in line]
        assert f"{kind.transport} refused: too many connections, last from " in line
        assert "raise --max-connections" in line


@streams("limit on each peer")
def test_limitOfPeer(kind: StreamKind, limited: Server) -> None:
    """
    The same holds for the connections of one peer.
    """
    with ExitStack() as stack:
        served = serve(limited, stack, 15)
        assert len(served) == 10
        assert all(map(isServed, served))
        [line] = [line for line in limited.lines if "refused" in line]
        assert f"{kind.transport} refused: too many connections of one peer, last from " in line
        assert "raise --max-per-peer" in line


@streams("others have their own limit")
def test_limitOfOthers(kind: StreamKind, limited: Server) -> None:
    """
    Another peer is served meanwhile; behind a proxy the peer is the client that the
    header names.
    """
    rules.settled(limited)
    with ExitStack() as stack:
        assert len(serve(limited, stack, 11)) == 10
        for _ in range(2):
            assert isServed(stack.enter_context(kind.connectAsOther(limited)))


@streams("allowed networks")
def test_access(kind: StreamKind, tmp_path: Path) -> None:
    """
    A peer that is not allowed is reset before any handshake, does not count for the
    limits, and is counted and logged; another is served. Behind a proxy the peer is the
    client that the header names.
    """
    served, denied = kind.hosts
    options = [f"--allow={served}/24", f"--deny={denied}", "--max-connections=1"]
    watched = Watched(tmp_path, *options, start=kind.ours)
    count = ("echotwist_refused_total", *sorted((kind.label, "not allowed")))
    with watched.server as server:
        assert watched.samples()[count] == 0
        for _ in range(3):
            with pytest.raises(ConnectionError), kind.connectAsOther(server) as stream:
                stream.sendall(b"x")
                stream.recv(1)
        with connected(server.door) as stream:
            assert isServed(stream)
        assert watched.samples()[count] == 3
        [line] = [line for line in server.lines if "refused" in line]
        assert f"{kind.transport} refused: not allowed, last from {denied}:" in line
        assert line.endswith("; see --allow and --deny.")


@streams("few descriptors")
def test_fewDescriptors(kind: StreamKind, tmp_path: Path) -> None:
    """
    With 64 open files some are served and stay so, the others are reset, and
    the log has one line.
    """
    with kind.ours(tmp_path, limit="ulimit -n 64") as server, ExitStack() as stack:
        said = len(server.lines)
        served = serve(server, stack, 200)
        figures.append(f"{len(served)} of 200 served with 64 descriptors: {kind.name}")
        assert 30 <= len(served) < 64
        assert all(map(isServed, served))
        rules.rest(server, 0.5)
        assert len(server.lines) == said + 1, server.log


@streams("prefix")
def test_prefix(kind: StreamKind, tmp_path: Path) -> None:
    """
    The prefix comes before each line; prefixes do not pile up either.
    """
    with kind.ours(tmp_path, "--prefix", "You said : ") as server:
        with connected(server.door) as stream:
            stream.sendall(b"coucou\r\nencore\r\n")
            stream.endSending()
            assert readAll(stream) == b"You said : coucou\r\nYou said : encore\r\n"
        rules.backPressure(
            server, 1, growth=2 * MIB, block=b"\n" * MIB, patience=FULL, most=most(kind)
        )


# It is stopped once, with all sorts of clients.


def _halfWay(kind: StreamKind, server: Server, stop: Callable[[Server], None]) -> None:
    halfWay(server, stop, mebibytes=32)


def _queued(kind: StreamKind, server: Server, stop: Callable[[Server], None]) -> None:
    queued(server, stop)


def _quiet(kind: StreamKind, server: Server, stop: Callable[[Server], None]) -> None:
    with connected(server.door) as idle:
        idle.sendall(b"x")
        assert idle.recv(1) == b"x"
        stop(server)
        assert idle.recv(1) == b""


def _speak(kind: StreamKind, dialed: Queue[socket.socket]) -> None:
    with kind.greet(dialed.get(timeout=PATIENCE)) as stream:
        stream.sendall(b"hello")
        stream.endSending()
        assert readAll(stream) == b"hello"


Stopping = dict[Callable[..., None], Future[None]]


@pytest.fixture(scope="module")
def stopping(kind: StreamKind, way: str, tmp_path_factory: pytest.TempPathFactory) -> Stopping:
    """
    What became of the clients of a service that is stopped.
    """
    clients = [_halfWay, _queued, _quiet]
    dialed: Queue[socket.socket] = Queue()

    def stop() -> None:
        server.signal(signal.SIGSTOP)
        dialed.put(kind.dial(server))
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)

    def reached(server: Server) -> None:
        everybody.wait()

    everybody = Barrier(len(clients), stop, PATIENCE)
    with kind.ours(tmp_path_factory.mktemp("stopping"), "--drain=1000") as server:
        with ThreadPoolExecutor(len(clients) + 1) as pool:
            found: Stopping = {one: pool.submit(one, kind, server, reached) for one in clients}
            found[_speak] = pool.submit(_speak, kind, dialed)
        assert server.wait() == 0
    return found


@streams("SIGTERM half-way")
def test_halfWay(kind: StreamKind, stopping: Stopping) -> None:
    """
    A stream that is stopped half-way comes back whole, and the status is 0.
    """
    stopping[_halfWay].result()


@streams("SIGTERM, backlog")
def test_backlog(kind: StreamKind, stopping: Stopping) -> None:
    """
    Connections that the kernel has accepted already are served.
    """
    stopping[_speak].result()


@streams("SIGTERM, slow reader")
def test_queued(kind: StreamKind, stopping: Stopping) -> None:
    """
    What waits for a slow reader comes back whole.
    """
    stopping[_queued].result()


@streams("SIGTERM, quiet client")
def test_quiet(kind: StreamKind, stopping: Stopping) -> None:
    """
    A silent client does not delay the stop, and sees an orderly end.
    """
    stopping[_quiet].result()


# The rest mostly waits, so it does so together.


def _stall(kind: StreamKind, server: Server, folder: Path) -> None:
    with connected(server.door) as client:
        rules.untilReset(client)
        server.waitFor(f"{kind.transport} .*stalled: ")


def _sender(kind: StreamKind, server: Server, folder: Path) -> None:
    """
    Leave unread more than a window of TCP holds, and less than all buffers do.
    """
    with connected(server.door) as client, pytest.raises(ConnectionError):
        client.sendall(bytes(150_000))
        for _ in range(60):
            client.sendall(b"x")
            time.sleep(0.2)


def _cut(kind: StreamKind, server: Server, folder: Path) -> None:
    """
    Send the last byte, have it fit into these buffers or those, and read when it is
    too late.
    """

    def cut(size: int) -> None:
        with connected(server.door) as client, suppress(ConnectionError):
            client.sendall(bytes(size))
            client.endSending()
            poll = select.poll()
            poll.register(client, select.POLLRDHUP)
            assert poll.poll(PATIENCE * 1000)
            got = len(readAll(client))
            assert got == size, f"{got} of {size} bytes, and an end"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(cut, range(100_000, 420_000, 40_000)))


def _slow(kind: StreamKind, server: Server, folder: Path) -> None:
    """
    Read a little at a time from a service that has always more to give: as much as
    the kernel tells it of at once.
    """

    def send(stream: Stream) -> None:
        with suppress(OSError):
            while not enough.is_set():
                stream.sendall(bytes(2**16))

    enough = Event()
    with connected(server.door) as client:
        sender = Thread(target=send, args=(client,))
        sender.start()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert client.recv(MIB)
            time.sleep(0.05)
        enough.set()
        while sender.is_alive():
            assert client.recv(MIB)
        client.endSending()
        readAll(client)


def _unfinished(kind: StreamKind, server: Server, folder: Path) -> None:
    for beginning in (b"", kind.beginning):
        if kind.beginning:
            with kind.dial(server) as plain:
                plain.sendall(beginning)
                with pytest.raises(ConnectionResetError):
                    plain.recv(1)


def _idle(kind: StreamKind, _: Server, folder: Path) -> None:
    with (
        kind.ours(folder, "--idle-timeout=3", "--verbose") as server,
        connected(server.door) as silent,
        connected(server.door) as speaker,
    ):
        silent.settimeout(0.1)
        waitUntil(lambda: isServed(speaker) and _hasEnded(silent), "the silent one is ended")
        server.waitFor(f"{kind.transport} .*idle: ")
        assert isServed(speaker)


def _hasEnded(stream: Stream) -> bool:
    with suppress(TimeoutError):
        return stream.recv(1) == b""
    return False


def _drainEnds(kind: StreamKind, _: Server, folder: Path) -> None:
    with kind.ours(folder, "--drain=1") as server, connected(server.door) as stream:
        offer(stream, PLENTY, patience=FULL)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        stream.settimeout(PATIENCE)
        with pytest.raises(ConnectionResetError):
            while stream.recv(MIB):
                pass


def _secondSignal(kind: StreamKind, _: Server, folder: Path) -> None:
    with kind.ours(folder, "--drain=1000") as server, connected(server.door) as stream:
        offer(stream, PLENTY, patience=FULL)
        stopped(server)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        stream.settimeout(PATIENCE)
        with pytest.raises(ConnectionResetError):
            while stream.recv(MIB):
                pass


Check = Callable[[StreamKind, Server, Path], None]

_PATIENT: list[Check] = [
    _stall,
    _sender,
    _cut,
    _slow,
    _unfinished,
    _idle,
    _drainEnds,
    _secondSignal,
]


@pytest.fixture(scope="module")
def together(
    kind: StreamKind, strict: Server, tmp_path_factory: pytest.TempPathFactory
) -> dict[Check, Future[None]]:
    """
    What became of those checks that wait.
    """
    with ThreadPoolExecutor(len(_PATIENT)) as pool:
        return {
            check: pool.submit(check, kind, strict, tmp_path_factory.mktemp("together"))
            for check in _PATIENT
        }


@streams("stall timeout")
def test_stall(kind: StreamKind, together: dict[Check, Future[None]]) -> None:
    """
    A client that takes none of its waiting bytes is reset.
    """
    together[_stall].result()


@streams("stall timeout, sender")
def test_sender(kind: StreamKind, together: dict[Check, Future[None]]) -> None:
    """
    So is a client that takes none and still sends a byte now and then.
    """
    together[_sender].result()


@streams("stall timeout, half-close")
def test_cut(kind: StreamKind, together: dict[Check, Future[None]]) -> None:
    """
    A client that is reset after its half-close never sees an orderly end, unless it got
    everything back.
    """
    together[_cut].result()


@streams("slow reader")
def test_slow(kind: StreamKind, together: dict[Check, Future[None]]) -> None:
    """
    A client that takes some bytes is kept.
    """
    together[_slow].result()


@streams("unfinished greeting")
def test_unfinished(kind: StreamKind, together: dict[Check, Future[None]]) -> None:
    """
    A client that never finishes the TLS handshake is reset, and so is a proxy that
    never finishes its header.
    """
    together[_unfinished].result()


@streams("idle timeout")
def test_idle(kind: StreamKind, together: dict[Check, Future[None]]) -> None:
    """
    A silent connection gets an orderly end; one that sends goes on.
    """
    together[_idle].result()


@streams("drain ends")
def test_drainEnds(kind: StreamKind, together: dict[Check, Future[None]]) -> None:
    """
    A client that neither reads nor leaves delays the stop for the drain, not longer.
    """
    together[_drainEnds].result()


@streams("second signal")
def test_secondSignal(kind: StreamKind, together: dict[Check, Future[None]]) -> None:
    """
    A second signal ends the service at once.
    """
    together[_secondSignal].result()


@streams("log line")
def test_verbose(kind: StreamKind, strict: Server) -> None:
    """
    With ``--verbose`` the service logs each connection's peer, bytes and time.
    """
    with connected(strict.door) as stream:
        peer = kind.peer(stream)
        stream.sendall(b"hello")
        stream.endSending()
        assert readAll(stream) == b"hello"
    strict.waitFor(rf"{kind.transport} \S*{peer} closed: 5 bytes in \d\.\d+ s")
