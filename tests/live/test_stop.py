"""
Stopping loses nothing.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.live import BIN, PATIENCE, ours, stock
from tests.support.rules import MIB, answers, offer, readAll
from tests.support.stopping import halfWay, queued, sendAtOnce, stopped, terminate
from tests.support.streams import connected


def test_halfWay(tmp_path: Path, reactorName: str) -> None:
    """
    A stream that is stopped half-way comes back whole, and the status is 0.
    """
    with ours(tmp_path, "--drain=60", reactor=reactorName) as server:
        halfWay(server, stopped)
        assert server.wait() == 0


@pytest.mark.slow
def test_longHalfWay(tmp_path: Path) -> None:
    """
    A stream of 256 MiB that is stopped half-way comes back whole.
    """
    with ours(tmp_path, "--drain=60") as server:
        halfWay(server, stopped, mebibytes=256)
        assert server.wait() == 0


@pytest.mark.oneWay
def test_interrupted(tmp_path: Path) -> None:
    """
    The same holds for a ^C.
    """
    with ours(tmp_path, "--drain=60") as server:
        halfWay(server, lambda server: stopped(server, signal.SIGINT))
        assert server.wait() == 0


@pytest.mark.oneWay
def test_halfWayOnStock(tmp_path: Path) -> None:
    """
    Stock Twisted loses the rest of the stream.
    """
    with (
        stock(tmp_path) as server,
        pytest.raises((AssertionError, ConnectionError)),
    ):
        halfWay(server, terminate)


def test_manySignals(tmp_path: Path) -> None:
    """
    However many signals come, until the very end, the status is 0, and the log
    has one line of them.
    """
    for _ in range(5):
        with ours(tmp_path) as server:
            while server.runs():
                server.signal(signal.SIGTERM)
                time.sleep(0.001)
            assert server.wait() == 0
            assert server.log.count("Received SIGTERM") == 1


@pytest.mark.oneWay
def test_twoAtOnce(tmp_path: Path, reactorName: str) -> None:
    """
    A second signal ends the service at once, however soon it comes; the system cannot
    tell the same signal twice from one.
    """
    with ours(tmp_path, "--drain=1000", reactor=reactorName) as server:
        with connected(server.door) as stream:
            offer(stream, 64 * MIB, patience=0.3)
            sendAtOnce(server, signal.SIGTERM, signal.SIGINT)
            assert server.wait() == 0
            with pytest.raises(ConnectionResetError):
                readAll(stream)
        assert server.log.count("Received SIG") == 1


@pytest.mark.oneWay
def test_oneAtOnce(tmp_path: Path) -> None:
    """
    A single signal lets connections drain, whenever it comes.
    """
    with ours(tmp_path, "--drain=1000") as server, connected(server.door) as stream:
        taken = offer(stream, 64 * MIB, patience=0.3)
        sendAtOnce(server, signal.SIGINT)
        stream.settimeout(PATIENCE)
        assert len(readAll(stream)) == taken
        assert server.wait() == 0


@pytest.mark.oneWay
def test_hangUp(tmp_path: Path) -> None:
    """
    SIGHUP of a terminal that closes stops the service, but never counts as the second
    signal: the kernel and the shell often both send it.
    """
    with ours(tmp_path, "--drain=1000") as server, connected(server.door) as stream:
        taken = offer(stream, 64 * MIB, patience=0.3)
        for number in (signal.SIGHUP, signal.SIGHUP):
            sendAtOnce(server, number)
            server.waitFor("Received SIGHUP")
        stream.settimeout(PATIENCE)
        assert len(readAll(stream)) == taken
        assert server.wait() == 0


@pytest.mark.oneWay
def test_noHangUp(tmp_path: Path) -> None:
    """
    A service with SIGHUP ignored, as under nohup(1), does not stop.
    """
    with ours(tmp_path, limit="trap '' HUP") as server:
        sendAtOnce(server, signal.SIGHUP)
        answers(server.door)
        assert "Received" not in server.log


@pytest.mark.oneWay
@pytest.mark.parametrize("workers", [[], ["--workers=2"]], ids=["one", "workers"])
def test_terminal(tmp_path: Path, workers: list[str]) -> None:
    """
    When its terminal closes, connections drain, in workers too, and the status is 0.
    """
    here, there = pty.openpty()
    command = ["setsid", "--ctty", str(BIN / "twistd"), "-n", "--pidfile=", "echo", "--port=0"]
    process = subprocess.Popen(
        [*command, "--drain=1000", *workers], cwd=tmp_path, stdin=there, stdout=there, stderr=there
    )
    os.close(there)
    with process, open(here, "rb", buffering=0) as terminal:
        said = b""
        while not (found := re.search(rb"echo on TCP \S+:(\d+)", said)):
            said += terminal.read(4096)
        with connected(int(found[1])) as stream:
            taken = offer(stream, 64 * MIB, patience=0.3)
            terminal.close()
            stream.settimeout(PATIENCE)
            assert len(readAll(stream)) == taken
        assert process.wait(PATIENCE) == 0


def test_slowReader(tmp_path: Path, reactorName: str) -> None:
    """
    What waits for a slow reader comes back whole.
    """
    with ours(tmp_path, "--drain=60", reactor=reactorName) as server:
        queued(server)
        assert server.wait() == 0


@pytest.mark.oneWay
def test_slowReaderOnStock(tmp_path: Path) -> None:
    """
    Stock Twisted loses it.
    """
    with stock(tmp_path) as server, pytest.raises((AssertionError, ConnectionError)):
        queued(server)
