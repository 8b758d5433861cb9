"""
The rules that an echo service has to keep, as checks of a running one.

Each raises :class:`AssertionError` when its rule is broken.  The tests of the
service hold it to them; ``test_rules`` shows that each can fail.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest

from tests.support.live import PATIENCE, Server, figures, waitUntil, way
from tests.support.noise import noise
from tests.support.streams import Door, Stream, connected

MIB = 2**20

#: Where the sizes of reads, buffers and windows have their edges.
SIZES = [0, 1, 2, 30_000, 65_535, 65_536, 65_537, MIB]

_NOISE = noise(MIB)


def answers(door: Door) -> None:
    """
    The service answers.
    """
    with connected(door) as stream:
        stream.sendall(b"hello")
        assert stream.recv(100) == b"hello"


def asking(port: int, host: str = "127.0.0.1") -> socket.socket:
    """
    Make a *connected* datagram socket, which takes no reply from elsewhere.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.settimeout(PATIENCE)
    client.connect((host, port))
    return client


def readAll(stream: socket.socket) -> bytes:
    """
    Read until the other end has sent its last byte.
    """
    return b"".join(iter(lambda: stream.recv(MIB), b""))


def halfClose(door: Door, size: int, times: int, late: float = 0) -> None:
    """
    A client that sends so many bytes and then FIN gets just these bytes and then FIN.

    :param size: in bytes.
    :param times: how many connections do so at once.
    :param late: seconds that the reader waits before it reads.
    """
    with ThreadPoolExecutor(times) as senders, ThreadPoolExecutor(times) as readers:
        payload = _NOISE[:size]
        exchanges = [
            readers.submit(_halfCloseOnce, door, payload, late, senders) for _ in range(times)
        ]
    failures = [error for error in (exchange.exception() for exchange in exchanges) if error]
    assert not failures, f"{len(failures)} of {times} failed, the first: {failures[0]!r}"


def _halfCloseOnce(door: Door, payload: bytes, late: float, senders: ThreadPoolExecutor) -> None:
    with connected(door) as stream:
        sending = senders.submit(_sendAndEnd, stream, payload)
        time.sleep(late)
        got = 0
        while data := stream.recv(2**18):
            assert payload.startswith(data, got), f"byte {got} and on came back altered"
            got += len(data)
        sending.result()
        assert got == len(payload), f"{got} of {len(payload)} bytes came back"


def _sendAndEnd(stream: Stream, payload: bytes) -> None:
    stream.sendall(payload)
    stream.endSending()


def bulk(door: Door, mebibytes: int, late: float = 0) -> None:
    """
    A long stream comes back whole, by SHA-256, after a half-close.

    :param late: seconds that the reader waits before it reads.
    """
    sent, got = hashlib.sha256(), hashlib.sha256()

    def send(stream: Stream) -> None:
        for number in range(mebibytes):
            block = number.to_bytes(8, "big") + _NOISE[8:]
            sent.update(block)
            stream.sendall(block)
        stream.endSending()

    with connected(door) as stream:
        sender = Thread(target=send, args=(stream,))
        sender.start()
        time.sleep(late)
        for data in iter(lambda: stream.recv(MIB), b""):
            got.update(data)
        sender.join(PATIENCE)
    assert got.digest() == sent.digest(), "the stream came back altered"


def offer(stream: socket.socket, size: int, block: bytes = _NOISE, patience: float = 1.0) -> int:
    """
    Send until nothing more is taken.

    :param size: bytes to offer.
    :param block: what to send, over and over.
    :param patience: seconds after which nothing more will be taken.
    :return: bytes taken, by the server and by the kernel's buffers at both ends.
    """
    stream.settimeout(patience)
    taken = 0
    try:
        while taken < size:
            taken += stream.send(block)
    except TimeoutError:
        pass
    return taken


def untilReset(stream: socket.socket) -> None:
    """
    A client that sends and reads nothing is reset in the end.
    """
    stream.settimeout(PATIENCE)
    with pytest.raises(ConnectionError):
        while True:
            stream.send(_NOISE)


def backPressure(
    server: Server,
    clients: int,
    growth: int,
    block: bytes = _NOISE,
    patience: float = 1.0,
    most: int = 16 * MIB,
) -> None:
    """
    From a client that offers 1 GiB and reads nothing, at most 16 MiB are taken.

    :param clients: how many do so.
    :param growth: bytes that the process may grow by.
    :param block: what they send, over and over.
    :param patience: seconds after which nothing more will be taken.
    :param most: bytes that may be taken, where it is not that.
    """
    with connected(server.door) as warm:  # so that the first connection's code is loaded
        warm.sendall(b"warm")
        assert warm.recv(100).endswith(b"warm")
    before = server.process.memory_info().rss
    with ExitStack() as stack:
        streams = [stack.enter_context(connected(server.door)) for _ in range(clients)]
        taken = max(_offerAll(streams, block, patience))
        grown = server.process.memory_info().rss - before
        worst = percentile(_pings(server.door, 300), 99)
    figures.append(
        f"{clients} clients that never read: {taken / MIB:.1f} MiB taken of the greediest, "
        f"{grown / MIB:.2f} MiB grown, p99 of another client {worst * 1000:.2f} ms"
    )
    assert taken <= most, f"{taken} bytes taken from a client that reads nothing"
    assert grown < growth, f"the process grew by {grown} bytes"
    assert worst < 1, f"another client's p99 is {worst} s"


def _offerAll(streams: list[Stream], block: bytes, patience: float) -> list[int]:
    taken = [0] * len(streams)

    def one(number: int) -> None:
        taken[number] = offer(streams[number], 1024 * MIB, block, patience)

    threads = [Thread(target=one, args=(number,)) for number in range(len(streams))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def _pings(door: Door, times: int) -> list[float]:
    """
    Time one byte there and back, in seconds.
    """
    waits = []
    with connected(door) as stream:
        if stream.family != socket.AF_UNIX:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            start = time.perf_counter()
            stream.sendall(b"x")
            assert stream.recv(100).endswith(b"x")
            waits.append(time.perf_counter() - start)
    return waits


def percentile(waits: list[float], percent: int) -> float:
    """
    Return the time that so many percent of the waits stay under, in seconds.
    """
    return statistics.quantiles(waits, n=100)[percent - 1]


def settled(server: Server) -> int:
    """
    Count the open descriptors of a server that serves nobody.
    """

    def alone() -> bool:
        tcp = server.process.net_connections("tcp")
        return all(c.status == "LISTEN" for c in tcp) and not _guests(server)

    waitUntil(alone, "nobody is connected")
    return server.process.num_fds()


def _guests(server: Server) -> int:
    """
    Count the connections that came in by UNIX sockets, and those that were
    reset and are not closed yet (proc_pid_net(5)).
    """
    folder = Path(f"/proc/{server.process.pid}")
    if not folder.exists():
        return 0
    ours = set()
    for name in os.listdir(folder / "fd"):
        with suppress(FileNotFoundError):
            ours.add(os.readlink(folder / "fd" / name))
    ours = {name[8:-1] for name in ours if name.startswith("socket:")}
    for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        ours -= {words[9] for words in _table(folder, name)}
    unix = {words[6]: words for words in _table(folder, "unix")}
    # Accepted sockets have the listener's name; pairs for other uses have none.
    accepted = [words for words in unix.values() if len(words) > 7 and words[5] == "03"]
    return len(ours - set(unix)) + sum(words[6] in ours for words in accepted)


def _table(folder: Path, name: str) -> list[list[str]]:
    path = folder / "net" / name
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    return [line.split() for line in lines]


def resets(server: Server, cycles: int) -> None:
    """
    Resets in any state leave nothing behind: no descriptor, no memory, no word.

    The heap grows now and then by itself; what is left behind makes it grow each time.
    """

    def cycle(number: int) -> None:
        stream = connected(server.door)
        if number % 3 == 1:  # in mid-echo
            stream.sendall(b"x" * 1000)
        elif number % 3 == 2:  # while paused
            stream.setblocking(False)
            for _ in range(3):
                try:
                    stream.send(_NOISE)
                except BlockingIOError:
                    break
        stream.reset()

    def grown(cycles: int) -> int:
        before = server.process.memory_info().rss
        for number in range(cycles):
            cycle(number)
            if number % 50 == 0:  # How many are open at a time is not left to chance.
                answers(server.door)
        answers(server.door)
        waitUntil(lambda: server.process.num_fds() == descriptors, "descriptors are closed")
        return server.process.memory_info().rss - before

    answers(server.door)  # so that all that it opens for itself is open
    descriptors = settled(server)
    grown(min(5 * cycles, 20_000))  # After so many the heap has its final form.
    said = len(server.lines)
    thirds = [grown(cycles // 3) for _ in range(3)]
    figures.append(f"{cycles} resets after others: {[n // 1024 for n in thirds]} KiB grown")
    assert min(thirds) < MIB // 4, f"the process grew by {thirds} bytes"
    assert len(server.lines) == said, server.log


def whole(client: socket.socket, size: int) -> None:
    """
    A datagram comes back whole.

    :param client: a connected datagram socket.
    """
    datagram = _NOISE[:size]
    client.send(datagram)
    assert client.recv(MIB) == datagram, f"a datagram of {size} bytes came back altered"


def answered(client: socket.socket, words: Sequence[bytes]) -> int:
    """
    Count the datagrams that are answered, however late.
    """
    left, last = set(words), os.urandom(8)
    client.settimeout(0.2)
    for word in words:
        client.send(word)
        with suppress(TimeoutError):
            while word in left:
                left.discard(client.recv(100))
    client.settimeout(PATIENCE)
    client.send(last)
    while (word := client.recv(100)) != last:
        left.discard(word)
    return len(words) - len(left)


def askedAddress(port: int, host: str) -> None:
    """
    The reply comes from the address that was asked.

    :param host: one of this machine's addresses.
    """
    with asking(port, host) as client:
        client.settimeout(10)
        client.send(b"who are you?")
        try:
            assert client.recv(100) == b"who are you?"
        except TimeoutError:
            raise AssertionError(f"no reply from {host}") from None


def spoofable(port: int, source: int, payload: bytes) -> None:
    """
    Send one datagram from a source port that no socket can be bound to.

    Needs root: the UDP header is written by hand (RFC 768).
    """
    header = struct.pack("!HHHH", source, port, 8 + len(payload), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        raw.sendto(header + payload, ("127.0.0.1", 0))


def systemCalls(server: Server, seconds: float) -> int:
    """
    Count how often the process, or a worker of it, was woken, or gave the
    processor up itself.
    """

    def count() -> int:
        return sum(sum(process.num_ctx_switches()) for process in server.processes)

    before = count()
    time.sleep(seconds)
    return count() - before


def rest(server: Server, seconds: float) -> None:
    """
    Wait until the process, and each worker of it, sleeps for so long.

    What has been before may wake it a last time: a quarter of a second after the last
    byte it looks whether all was taken, and a timeout that was cancelled is looked at
    when it would have been over.
    """

    def sleeps() -> bool:
        before = [process.cpu_times()[:2] for process in server.processes]
        woken = systemCalls(server, seconds)
        return not woken and [one.cpu_times()[:2] for one in server.processes] == before

    waitUntil(sleeps, f"the process sleeps for {seconds} s")


def idle(server: Server, connections: int, seconds: float) -> None:
    """
    Idle connections cost nothing: the process does not wake up.
    """
    with ExitStack() as stack:
        for _ in range(connections):
            stack.enter_context(connected(server.door))
        answers(server.door)
        rest(server, seconds)


#: What the fast way calls instead.
_FAST_CALLS = {
    "recvfrom": "read",
    "sendto": "write",
    "recvmsg": "recvmmsg",
    "sendmsg": "sendmmsg",
}


@contextmanager
def injected(
    server: Server, call: str, error: str, times: int, trace: str | Path = "/dev/null"
) -> Iterator[None]:
    """
    Have the first calls of a kind fail in a running process.

    :param call: a system call, or several with commas between.
    :param error: its symbol, ``ENOBUFS``.
    :param trace: a file that is to tell which calls there were.
    """
    if not way:
        call = _FAST_CALLS.get(call, call)
    with tracing(server, f"inject={call}:error={error}:when=1..{times}", trace):
        yield


@contextmanager
def tracing(server: Server, rule: str, trace: str | Path) -> Iterator[None]:
    """
    Have ``strace`` look at a running process.

    :param rule: what it is to do.
    :param trace: a file that is to tell which calls there were.
    """
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    tracer = subprocess.Popen(
        [strace, "-f", "-p", str(server.process.pid), "-e", rule, "-o", str(trace)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    with tracer.stderr:
        said = tracer.stderr.readline()
        if "attached" not in said:
            tracer.wait()
            pytest.skip(f"strace cannot attach: {said.strip()}")
        try:
            yield
        finally:
            tracer.terminate()
            tracer.wait(PATIENCE)


_FLOOD = """
import socket, sys, time
client = socket.socket(fileno=int(sys.argv[1]))
end = time.monotonic() + 10
while time.monotonic() < end:
    for _ in range(1000):
        try:
            client.send(b"x")
        except OSError:
            pass
"""


def fairness(server: Server, client: socket.socket, most: int) -> None:
    """
    While tiny datagrams flood in, others have their turn after so many of them.

    :param client: sends them.
    """
    number = client.fileno()
    flood = subprocess.Popen([sys.executable, "-c", _FLOOD, str(number)], pass_fds=[number])
    try:
        busy = _processorTime(server) + 0.2
        waitUntil(lambda: _processorTime(server) > busy, "the flood has come")
        middle = statistics.median(_pings(server.door, 300))
        figures.append(f"p50 of a stream under a flood of datagrams: {middle * 1000:.2f} ms")
        runs = receivedInOneGo(server)
    finally:
        flood.kill()
        flood.wait()
    assert 1 < max(runs) <= most, f"{max(runs)} datagrams in one go"


def _processorTime(server: Server) -> float:
    times = server.process.cpu_times()
    return float(times.user + times.system)


def receivedInOneGo(server: Server, goes: int = 50) -> list[int]:
    """
    Count the datagrams that are received between two looks at what else there is.

    :param goes: how often, at the least.
    """
    looks = "epoll_wait,epoll_pwait"
    with TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        with tracing(server, f"trace={looks},recvmsg,recvmmsg", trace):
            waitUntil(lambda: trace.read_text().count("wait") > goes, "it looks")
        runs = [0]
        for line in trace.read_text().splitlines():
            received = re.search(r" (recvmm?sg)\(.* = (\d+)", line)
            if received is None:
                runs += [0] * (" recv" not in line)
            elif received[1] == "recvmmsg":
                runs[-1] += int(received[2])
            else:
                runs[-1] += 1
    return runs
