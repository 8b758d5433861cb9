"""
Stopping loses nothing.
"""

from __future__ import annotations

import hashlib
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from tests import rules
from tests.live import Server, figures, ours, stock
from tests.rules import MIB, asking, offer, readAll
from tests.streams import Stream, connected


def stopped(server: Server, number: int = signal.SIGTERM) -> None:
    """
    Stop a server, and wait until it accepts nobody any more.
    """
    server.signal(number)
    start = time.monotonic()
    while True:
        try:
            connected(server.door).close()
        except (ConnectionError, FileNotFoundError):
            break
        assert time.monotonic() - start < 1
        time.sleep(0.001)  # a full queue would drop the SYN, which comes again after 1 s
    figures.append(
        f"connects are refused {(time.monotonic() - start) * 1000:.0f} ms after the signal"
    )


def halfWay(server: Server, stop: Callable[[Server], None], mebibytes: int = 256) -> None:
    """
    All of a stream that is stopped half-way comes back.
    """
    blocks = [random.Random(number).randbytes(MIB) for number in range(16)] * (mebibytes // 16)
    got = hashlib.sha256()

    def send(stream: Stream) -> None:
        for number, block in enumerate(blocks):
            if number == len(blocks) // 2:
                stop(server)
            with suppress(OSError):  # which the reader tells as well
                stream.sendall(block)

    with connected(server.door) as stream:
        sender = Thread(target=send, args=(stream,))
        sender.start()
        for data in iter(lambda: stream.recv(MIB), b""):
            got.update(data)
        sender.join()
    assert got.digest() == hashlib.sha256(b"".join(blocks)).digest(), "bytes were lost"


def queued(server: Server) -> None:
    """
    All that was taken from a client that reads slowly comes back.
    """
    with connected(server.door) as stream:
        taken = offer(stream, 64 * MIB)
        server.signal(signal.SIGTERM)
        stream.settimeout(30)
        got = 0
        while data := stream.recv(256 * 1024):
            got += len(data)
            time.sleep(0.02)
    figures.append(f"{taken / MIB:.1f} MiB had been taken")
    assert got == taken, f"{taken - got} of {taken} bytes were lost"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_halfWay(tmp_path: Path, reactorName: str, number: int) -> None:
    """
    256 MiB that are stopped half-way come back whole, and the status is 0.
    """
    with ours(tmp_path, reactor=reactorName) as server:
        halfWay(server, lambda server: stopped(server, number))
        assert server.wait() == 0


def test_halfWayOnStock(tmp_path: Path) -> None:
    """
    Stock Twisted loses the rest of the stream.
    """
    with (
        stock(tmp_path) as server,
        pytest.raises((AssertionError, ConnectionError)),
    ):
        halfWay(server, lambda server: server.signal(signal.SIGTERM))


def test_slowReader(tmp_path: Path, reactorName: str) -> None:
    """
    What waits for a slow reader comes back whole.
    """
    with ours(tmp_path, reactor=reactorName) as server:
        queued(server)
        assert server.wait() == 0


def test_slowReaderOnStock(tmp_path: Path) -> None:
    """
    Stock Twisted loses it.
    """
    with stock(tmp_path) as server, pytest.raises((AssertionError, ConnectionError)):
        queued(server)


def test_backlog(server: Server) -> None:
    """
    Who was connected by the kernel already is served.
    """
    server.signal(signal.SIGSTOP)
    with connected(server.port) as stream:
        stream.sendall(b"hello")
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        assert readAll(stream) == b"hello"
    assert server.wait() == 0


def test_datagrams(server: Server) -> None:
    """
    Datagrams that the kernel has taken already are answered.
    """
    rules.askedAddress(server.port, "127.0.0.1")
    server.signal(signal.SIGSTOP)
    with asking(server.port) as client:
        for number in range(100):
            client.send(b"%d" % number)
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        assert [client.recv(10) for _ in range(100)] == [b"%d" % n for n in range(100)]
    assert server.wait() == 0


def test_idle(server: Server) -> None:
    """
    An idle telnet does not hold it up, and sees an orderly end.
    """
    with connected(server.port) as idle:
        idle.sendall(b"x")
        assert idle.recv(1) == b"x"
        start = time.monotonic()
        server.signal(signal.SIGINT)
        assert idle.recv(1) == b""
        assert server.wait() == 0
        assert time.monotonic() - start < 1


def test_drainEnds(tmp_path: Path) -> None:
    """
    Who neither reads nor goes away holds it up for that time, not longer.
    """
    with ours(tmp_path, "--drain=1") as server, connected(server.port) as stream:
        offer(stream, 64 * MIB)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_secondSignal(tmp_path: Path) -> None:
    """
    A second signal ends it at once.
    """
    with ours(tmp_path, "--drain=1000") as server, connected(server.port) as stream:
        offer(stream, 64 * MIB)
        stopped(server)
        server.signal(signal.SIGTERM)
        server.wait()
        with pytest.raises(ConnectionResetError):
            while stream.recv(MIB):
                pass
