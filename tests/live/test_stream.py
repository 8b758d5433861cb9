"""
The service over real TCP: never lose, alter or hoard a byte.
"""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import rules
from tests.support.live import REACTORS, Server, ours
from tests.support.rules import MIB
from tests.support.streams import connected


def test_halfClose(serverOn: Server) -> None:
    """
    All that was sent before a half-close comes back.
    """
    for size in rules.SIZES:
        rules.halfClose(serverOn.port, size, times=30)


@pytest.mark.slow
def test_halfCloseEverywhere(serverOn: Server) -> None:
    """
    The same holds on each reactor, 300 times.
    """
    for size in rules.SIZES:
        rules.halfClose(serverOn.port, size, times=300)


@pytest.mark.slow
def test_bulk(serverOn: Server) -> None:
    """
    1 GiB comes back by SHA-256.
    """
    rules.bulk(serverOn.port, 1024)


@pytest.mark.slow
def test_late(server: Server) -> None:
    """
    Both hold for readers that start late.
    """
    for size in rules.SIZES:
        rules.halfClose(server.port, size, times=300, late=1)
    rules.bulk(server.port, 1024, late=1)


def test_urgent(server: Server) -> None:
    """
    Urgent data in the midst of bulk, and at the end of it, stop nothing.
    """

    def send(stream: socket.socket) -> None:
        for _ in range(100):
            stream.sendall(b"x" * 100_000)
            stream.send(b"!", socket.MSG_OOB)

    with connected(server.port) as stream, ThreadPoolExecutor() as pool:
        pool.submit(send, stream)
        # Urgent bytes are no part of the stream; those that others overtake become it.
        count = 0
        while count < 10_000_000:
            count += stream.recv(MIB).count(b"x")
        stream.shutdown(socket.SHUT_WR)
        assert rules.readAll(stream).strip(b"!") == b""


def test_backPressure(serverOn: Server) -> None:
    """
    From a client that never reads, the service stops reading soon.
    """
    rules.backPressure(serverOn, clients=1, growth=MIB)


@pytest.mark.slow
def test_backPressureOfMany(tmp_path: Path, reactorName: str) -> None:
    """
    The same holds for a hundred of them.
    """
    with ours(tmp_path, reactor=reactorName) as server:
        rules.backPressure(server, clients=100, growth=32 * MIB)


def test_backPressureWithPrefix(tmp_path: Path) -> None:
    """
    Prefixes do not pile up either, not even when each byte is a newline.
    """
    with ours(tmp_path, "--prefix", "You said : ") as server:
        rules.backPressure(server, clients=10, growth=4 * MIB, block=b"\n" * MIB)


def test_resets(serverOn: Server) -> None:
    """
    A reset connection leaves nothing behind.
    """
    rules.resets(serverOn, 1000)


@pytest.mark.slow
def test_manyResets(server: Server) -> None:
    """
    20,000 resets leave nothing behind, after as many: an object left by each would show.
    """
    rules.resets(server, 20_000)


def idle(cwd: Path, connections: int, seconds: float) -> None:
    """
    Nothing runs, on no reactor, while nobody speaks; all wait together.
    """

    def on(reactor: str) -> None:
        most = 900 if reactor == "select" else connections  # select(2) ends at 1,024
        with ours(cwd, reactor=reactor) as server:
            rules.idle(server, min(connections, most), seconds)

    with ThreadPoolExecutor(len(REACTORS)) as pool:
        assert list(pool.map(on, REACTORS)) == [None] * len(REACTORS)


def test_idle(tmp_path: Path) -> None:
    """
    The process does not wake up while no client sends.
    """
    idle(tmp_path, connections=100, seconds=1)


@pytest.mark.slow
def test_longIdle(tmp_path: Path) -> None:
    """
    It does not wake up in 10 s with 1,000 connections either.
    """
    idle(tmp_path, connections=1000, seconds=10)
