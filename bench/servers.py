"""
The servers that are compared, and how they are started.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.process import runningOn
from bench.toolchains import Missing, compiled, compiledGo, tool

PEERS = Path(__file__).parent / "peers"

#: Where the commands of this environment are.
BIN = Path(sys.executable).parent

#: Seconds until a server that should have started or stopped never will.
PATIENCE = 30.0

#: How servers say where they listen.
PORT = re.compile(r"(?m)(?:^port |echo on TCP \S*:)(\d+)[,\n]")

#: How ours say what they run on, and which way.
REACTOR = re.compile(r"reactor class: \S*?(\w+)\.\n")
WAY = re.compile(r", Twisted \S+, (fast: \w+|portable)\n")


class NotStarted(Exception):
    """
    A server did not start; the text has its last words.
    """


@dataclass(frozen=True)
class Server:
    """
    A server that can be started.

    :param name: heads its column.
    :param commands: how to start it, for ``tcp`` and ``udp``.
    :param most: connections that it can take.
    """

    name: str
    commands: Mapping[str, Sequence[str | Path]]
    most: int = sys.maxsize


class Running:
    """
    A server process.

    :param command: how to start it.
    :param cores: where it may run.
    :ivar port: where it listens on 127.0.0.1.
    :ivar reactor: what ours runs on, and which way.
    :raise NotStarted: when it does not say so.
    """

    def __init__(self, command: Sequence[str | Path], cores: set[int]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        log = Path(self._folder.name) / "log"
        with log.open("wb") as output, runningOn(cores):
            self._process = subprocess.Popen(
                command, cwd=self._folder.name, stdout=output, stderr=subprocess.STDOUT
            )
        self.pid = self._process.pid
        try:
            self.port = self._waitForPort(log)
        except BaseException:
            self._end()
            raise

    def _waitForPort(self, log: Path) -> int:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            said = log.read_text(errors="replace")
            found = PORT.search(said)
            if found:
                self.reactor = ", ".join(REACTOR.findall(said) + WAY.findall(said))
                return int(found[1])
            time.sleep(0.005)
        lines = log.read_text(errors="replace").splitlines() or ["it said nothing"]
        raise NotStarted(lines[-1])

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()


def echo(*options: str) -> list[str | Path]:
    """
    Return the command that starts our own service.
    """
    return [BIN / "twistd", "--nodaemon", "--pidfile=", "echo", "--port=0", *options]


def _ours(name: str, *options: str, before: Sequence[str] = ()) -> Callable[[Path], Server]:
    def make(folder: Path) -> Server:
        command = [*before, *echo(*options)]
        return Server(name, {"tcp": command, "udp": command})

    return make


def _cPolling(folder: Path) -> Server:
    stream = compiled([PEERS / "stream.c"], folder / "stream")
    return Server("C epoll", {"tcp": [stream], "udp": [_cDatagram(folder), "epoll"]})


def _cBlocking(folder: Path) -> Server:
    return Server("C blocking", {"udp": [_cDatagram(folder), "blocking"]})


def _cDatagram(folder: Path) -> Path:
    return compiled([PEERS / "datagram.c"], folder / "datagram")


def _go(folder: Path) -> Server:
    program = compiledGo(PEERS / "echo.go", folder / "go")
    return Server("Go", {kind: [program, kind] for kind in ("tcp", "udp")})


def _goCopying(folder: Path) -> Server:
    program = compiledGo(PEERS / "echo.go", folder / "go")
    # A pipe for each connection: three files, where 20,000 is a usual limit.
    return Server("Go io.Copy", {"tcp": [program, "copy"]}, most=5000)


def _python(name: str, module: str, *words: str | Path) -> Callable[[Path], Server]:
    def make(folder: Path) -> Server:
        if not importlib.util.find_spec(module):
            raise Missing(f"{module} is not installed")
        return Server(name, {kind: [sys.executable, *words, kind] for kind in ("tcp", "udp")})

    return make


def _php(folder: Path) -> Server:
    php = tool("php")
    if "sockets" not in subprocess.check_output([php, "-m"], text=True).split():
        raise Missing("php has no sockets")
    # It naps, so that more clients would measure the naps.
    return Server("PHP", {"tcp": [php, PEERS / "echo.php"]}, most=1)


#: Ours, as it comes.
OURS = "echotwist fast"

#: The servers that ours is compared to: the better of these at each load; and the least
#: that an echo takes.
RIVALS, LEAST = ("uvloop", "Go", "Go io.Copy"), ("C epoll", "C blocking")

#: How each is made, in the order of the columns.
MAKERS: Mapping[str, Callable[[Path], Server]] = {
    OURS: _ours(OURS),
    "echotwist python": _ours("echotwist python", before=["env", "ECHOTWIST_SPEEDUPS=0"]),
    "echotwist portable": _ours("echotwist portable", "--portable"),
    "C epoll": _cPolling,
    "C blocking": _cBlocking,
    "Go": _go,
    "Go io.Copy": _goCopying,
    "uvloop": _python("uvloop", "uvloop", PEERS / "loop.py", "uvloop"),
    "asyncio": _python("asyncio", "asyncio", PEERS / "loop.py", "asyncio"),
    "Twisted": _python("Twisted", "twisted", PEERS / "stock.py"),
    "PHP": _php,
}


def made(names: Sequence[str], folder: Path) -> tuple[list[Server], dict[str, str]]:
    """
    Build servers.

    :param folder: where to.
    :return: the servers, and why others are missing.
    """
    servers, skipped = [], {}
    for name in names:
        try:
            servers.append(MAKERS[name](folder))
        except Missing as reason:
            skipped[name] = str(reason)
    return servers, skipped
