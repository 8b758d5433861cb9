"""
A service in a process of its own, to be talked to over real sockets.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.forks import run, start

if TYPE_CHECKING:
    from tests.support.streams import Door

#: Seconds after which a thing that should have happened never will.
PATIENCE = 60.0

HERE = Path(__file__).parent

#: Of the project.
ROOT = HERE.parents[1]

#: Where the commands of this environment are.
BIN = Path(sys.executable).parent

#: Everywhere on Linux; the service must keep its word on each.
REACTORS = ["lean", "epoll", "poll", "select", "asyncio"]

#: IP protocols that are nobody's (IANA), for this process of the tests: all raw sockets
#: of a machine get what comes for their protocol.
_protocols = cycle(range(148, 252)[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) :: 8])

#: Not that of the tests, which hypothesis sets to the same again and again.
_chance = random.SystemRandom()

#: What a test measured; pytest prints it in the end.
figures: list[str] = []


def ownProtocol() -> int:
    """
    Return an IP protocol that no other test uses now.
    """
    return next(_protocols)


def freePort(numbers: range = range(10_000, 32_768)) -> int:
    """
    Find a port that nobody has at any address, of TCP and of UDP.

    By default it is none of those that the system gives to outgoing connections, so it is
    still free when it is used (ip_local_port_range of ip(7)).

    :raise PermissionError: for numbers that only root may use.
    """
    while True:
        port = _chance.choice(numbers)
        with (
            socket.socket(socket.AF_INET6) as tcp,
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp,
        ):
            try:
                for one in (tcp, udp):
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                    one.bind(("::", port))
            except PermissionError:
                raise
            except OSError:
                continue
            return port


def lowPort() -> int:
    """
    Find one below 1024, or skip where only root may have it.
    """
    try:
        return freePort(range(512, 1024))
    except PermissionError:
        pytest.skip("needs root, for a low port")


def waitUntil(done: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """
    Wait for something that sends no word when it has happened.

    :raise AssertionError: when it does not happen.
    """
    deadline = time.monotonic() + patience
    while not done():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


class Server:
    """
    A server process that says on standard output where it listens.

    :param command: how to start it.
    :param cwd: the folder to run in.
    :param limit: shell commands to run first.
    :param stdin: a descriptor that it has there; by default, what we have.
    :ivar port: the port that it said first; 0 if that has none.
    :ivar door: how its first listener of streams is reached.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        cwd: Path,
        limit: str = "",
        stdin: int | None = None,
    ) -> None:
        words = [str(word) for word in command]
        if limit:
            words = ["sh", "-c", f'{limit}; exec "$@"', "sh", *words]
        self._output = TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._output.close)
        self._process = start(words, cwd, stdin, self._output, self._output)
        try:
            said = self.waitFor(r'(?:echo on \w+ |"listeners": "\w+ |#stock on )(?:\S*:)?(\d+)?')
        except AssertionError:
            self._process.kill()
            self._process.wait(PATIENCE)
            raise
        self.port = int(said[1] or 0)
        self.door: Door = self.port

    @property
    def lines(self) -> list[str]:
        """
        The lines that it has said.

        They are in a file, not in a pipe that somebody must read first: what it
        said before it answered is there when the answer is.
        """
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode().split("\n")[:-1]

    def waitFor(self, pattern: str) -> re.Match[str]:
        """
        Wait for a line of the log.

        :raise AssertionError: when it does not come.
        """

        def found() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

        deadline = time.monotonic() + PATIENCE
        while not found() and self.runs() and time.monotonic() < deadline:
            time.sleep(0.01)
        match = found()
        assert match, f"no line with {pattern!r} in:\n{self.log}"
        return match

    @property
    def process(self) -> psutil.Process:
        """
        The process, for its memory, descriptors and time.
        """
        return psutil.Process(self._process.pid)

    @property
    def workers(self) -> list[psutil.Process]:
        """
        The processes that it has started.
        """
        return self.process.children()

    @property
    def processes(self) -> list[psutil.Process]:
        """
        All of its processes.
        """
        return [self.process, *self.workers]

    @property
    def log(self) -> str:
        """
        All that it has said.
        """
        return "\n".join(self.lines)

    def runs(self) -> bool:
        """
        Tell whether it has not ended yet.
        """
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """
        Send it a signal.
        """
        self._process.send_signal(number)

    def wait(self) -> int:
        """
        Wait for its end.

        :return: its exit status; negative for a signal.
        """
        return self._process.wait(PATIENCE)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.runs():
            self.signal(signal.SIGTERM)
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        if error is None:
            assert "Traceback" not in self.log, self.log


#: The two ways in which the service does its work; every rule holds for both.
WAYS = {"fast": [], "portable": ["--portable"]}

#: Options of the way that is being tested.
way: list[str] = []


def ours(
    cwd: Path,
    *options: str,
    reactor: str = "",
    limit: str = "",
    waysIn: Sequence[str] = ("--port=0",),
    stdin: int | None = None,
) -> Server:
    """
    Start the echo service on a free port.

    :param options: of the ``echo`` command.
    :param reactor: one of ``twistd --help-reactors``.
    :param limit: shell commands to run first, such as ``ulimit -n 64``.
    :param waysIn: options that say where to listen, instead.
    :param stdin: a descriptor that it has there.
    """
    choice = [f"--reactor={reactor}"] if reactor else []
    command: list[str | Path] = [
        BIN / "twistd",
        "--nodaemon",
        "--pidfile=",
        *choice,
        "echo",
        *waysIn,
        *way,
        *options,
    ]
    return Server(command, cwd, limit, stdin)


def mistake(cwd: Path, *command: str | Path, prepare: Callable[[], None] | None = None) -> str:
    """
    Run a command that cannot work, and give the line that it says.
    """
    words = [str(word) for word in command]
    ended = run(words, cwd, PATIENCE, prepare)
    assert ended.returncode == 1, ended
    [line] = ended.stderr.splitlines()
    assert "Traceback" not in ended.stdout + line
    assert not list(cwd.glob("*.pid")), "a pid file is left behind"
    return line


def stock(cwd: Path, reactor: str = "") -> Server:
    """
    Start what Twisted ships as an echo, to see a rule broken.
    """
    choice = [f"--reactor={reactor}"] if reactor else []
    return Server(
        [BIN / "twistd", "--nodaemon", "--pidfile=", *choice, "-y", HERE / "stock.tac"], cwd
    )
