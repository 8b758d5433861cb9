"""
The service says which way runs, and without what is compiled it keeps its word too.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import live, rules
from tests.support.compiling import COMPILES
from tests.support.live import BIN, Server, ours
from tests.support.streams import connected

pytestmark = pytest.mark.oneWay

#: How the fast way is called here, with what is compiled and without.
FAST = f"fast: {'c' if COMPILES else 'python'}" if sys.platform == "linux" else "portable"
WITHOUT = FAST.replace("c", "python") if FAST == "fast: c" else FAST

#: What is run before the service.
COMMANDS = {FAST: "", WITHOUT: "export ECHOTWIST_SPEEDUPS=0"}


@pytest.fixture(params=list(COMMANDS))
def said(request: pytest.FixtureRequest) -> str:
    """
    Each of the fast ways, as the service calls it.
    """
    return str(request.param)


def served(said: str, cwd: Path, *options: str) -> Server:
    """
    Start the service in one of them.
    """
    return ours(cwd, *options, limit=COMMANDS[said])


def test_version(tmp_path: Path) -> None:
    """
    ``--version`` says which way will run.
    """
    for options, changed, way in (
        ([], {}, FAST),
        ([], {"ECHOTWIST_SPEEDUPS": "0"}, WITHOUT),
        (["--portable"], {}, "portable"),
    ):
        command = [str(BIN / "twistd"), "echo", *options, "--version"]
        environment = {**os.environ, **changed}
        text = subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)
        assert re.fullmatch(rf"echotwist \S+, Twisted \S+, {way}\n", text)


def test_log(said: str, tmp_path: Path) -> None:
    """
    So does the first line of the service in the log.
    """
    with served(said, tmp_path) as server:
        [first, *_] = [line for line in server.lines if "[echotwist." in line]
        assert first.endswith(f", {said}"), first


def test_portableLog(tmp_path: Path) -> None:
    """
    The portable way says so.
    """
    with ours(tmp_path, "--portable") as server:
        assert server.waitFor(r"echotwist \S+, Twisted \S+, portable$")


def test_both(said: str, tmp_path: Path) -> None:
    """
    Streams and datagrams come back, and all is counted; the process rests in the end.
    """
    with served(said, tmp_path, "--metrics=tcp:0:interface=127.0.0.1") as server:
        with connected(server.door) as stream, socket.socket(type=socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", server.port))
            client.settimeout(live.PATIENCE)
            for size in (1, 1000, 9000, 100):
                stream.sendall(data := os.urandom(size))
                assert stream.recv(size, socket.MSG_WAITALL) == data
                client.send(data)
                assert client.recv(10_000) == data
            rules.rest(server, 0.5)
        rules.answers(server.door)


def test_stops(said: str, tmp_path: Path) -> None:
    """
    A signal ends it while messages come and go without a pause: it drains, and a second
    one ends it at once.
    """
    with served(said, tmp_path) as server, connected(server.door) as stream:
        stream.sendall(b"x")

        def goesOn() -> bool:
            try:
                stream.sendall(stream.recv(100) or b"x")
            except OSError:
                return False
            return True

        assert all(goesOn() for _ in range(1000))
        server.signal(signal.SIGTERM)
        while "shutting down" not in server.log:
            assert goesOn()
        assert all(goesOn() for _ in range(1000))
        server.signal(signal.SIGINT)
        while goesOn():
            pass
        assert server.wait() == 0


def test_workers(said: str, tmp_path: Path) -> None:
    """
    Workers go the way of their parent.
    """
    with served(said, tmp_path, "--workers=2") as server:
        for _ in range(4):
            rules.answers(server.door)
        loaded = {
            "speedups" in Path(f"/proc/{worker.pid}/maps").read_text() for worker in server.workers
        }
        assert loaded == {said == "fast: c"}
