"""
The service under clients that want more than their share.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.support import rules
from tests.support.live import PATIENCE, Server, figures, lowPort, ours
from tests.support.rules import MIB
from tests.support.streams import Stream, connected, isServed, serve


def test_limitsWrapNothing(tmp_path: Path) -> None:
    """
    Half-close and back-pressure hold with all limits on.
    """
    limits = ["--max-connections=200", "--max-per-peer=200", "--stall-timeout=30"]
    with ours(tmp_path, *limits, "--idle-timeout=30") as server:
        for size in rules.SIZES:
            rules.halfClose(server.port, size, times=30)
        rules.backPressure(server, clients=1, growth=MIB)


def test_noDescriptors(tmp_path: Path) -> None:
    """
    The same holds if the limit is higher than the number of descriptors.
    """
    few = "ulimit -n 64"
    with ours(tmp_path, "--max-connections=1000", limit=few) as server, ExitStack() as stack:
        served = serve(server, stack, 200)
        assert 30 <= len(served) < 64
        assert all(map(isServed, served))
        rules.rest(server, 0.5)
        assert len([line for line in server.lines if "EMFILE" in line or "errno 24" in line]) == 1
    assert not [line for line in server.lines if "errno" in line and "24" not in line]


def test_burst(server: Server) -> None:
    """
    5,000 connections at once are all served.
    """

    async def one() -> None:
        loop = asyncio.get_running_loop()
        with closing(socket.socket()) as stream:
            stream.setblocking(False)
            await loop.sock_connect(stream, ("127.0.0.1", server.port))
            await loop.sock_sendall(stream, b"x")
            assert await loop.sock_recv(stream, 1) == b"x"
            served.append(stream.fileno())
            await everybody.wait()

    async def burst() -> None:
        tasks = [asyncio.create_task(one()) for _ in range(5000)]
        while len(served) < 5000 and not any(task.done() for task in tasks):
            await asyncio.sleep(0.01)
        figures.append(f"5,000 connections served in {time.monotonic() - start:.2f} s")
        everybody.set()
        await asyncio.gather(*tasks)

    served: list[int] = []
    everybody = asyncio.Event()
    start = time.monotonic()
    asyncio.run(burst())


def test_stall(tmp_path: Path, reactorName: str) -> None:
    """
    A client that takes none of its waiting bytes is reset.
    """
    options = ["--stall-timeout=1", "--verbose", "--no-udp"]
    with ours(tmp_path, *options, reactor=reactorName) as server, connected(server.port) as client:
        rules.untilReset(client)
        server.waitFor("TCP .* stalled: ")


def test_slow(tmp_path: Path) -> None:
    """
    A client that takes some bytes is kept, although it takes long until the kernel
    takes more.

    With a small buffer each bite is told to the service at once, so that a slow
    machine does not make a slow reader a dead one.
    """

    def send() -> None:
        with suppress(ConnectionError):
            while True:
                client.send(bytes(MIB))

    with ours(tmp_path, "--stall-timeout=3", "--verbose", "--no-udp") as server, Stream() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", server.port))
        sender = Thread(target=send)
        sender.start()
        end = time.monotonic() + 8
        while time.monotonic() < end:
            assert client.recv(20_000)
            time.sleep(0.02)
        assert "stalled" not in server.log
        client.shutdown(socket.SHUT_RDWR)
        sender.join()


def test_steady(tmp_path: Path) -> None:
    """
    A client that asks the same again and again, and takes each reply, is kept: as many
    bytes as ever on their way do not mean that it takes none.
    """

    def ask(stream: Stream, period: float) -> None:
        with suppress(ConnectionError):
            for _ in range(round(4 / period)):
                stream.sendall(b"x" * 160)
                got = 0
                while got < 160:
                    got += len(stream.recv(160))
                time.sleep(period)
            kept.append(stream)

    kept: list[Stream] = []
    with ours(tmp_path, "--stall-timeout=1", "--no-udp") as server, ExitStack() as stack:
        streams = [stack.enter_context(connected(server.door)) for _ in range(8)]
        threads = [
            Thread(target=ask, args=(stream, 0.02 + 0.005 * (number % 4)))
            for number, stream in enumerate(streams)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(kept) == len(streams)


@pytest.mark.parametrize(("options", "answered"), [([], False), (["--answer-low-ports"], True)])
def test_lowPorts(tmp_path: Path, options: list[str], answered: bool) -> None:
    """
    Datagrams from ports below 1024 are answered only with ``--answer-low-ports``.
    """
    port = lowPort()
    with ours(tmp_path, *options) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", port))
        client.settimeout(60 if answered else 0.5)
        client.sendto(b"hello", ("127.0.0.1", server.port))
        try:
            assert (client.recv(10) == b"hello") is answered
        except TimeoutError:
            assert not answered
            server.waitFor(
                f"UDP refused: low source port, last from 127.0.0.1:{port}; .*--answer-low-ports"
            )
