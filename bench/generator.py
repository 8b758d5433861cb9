"""
The load generator: built from ``load/``, started, and told when to go.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.toolchains import compiled

HERE = Path(__file__).parent

#: Seconds until a generator that should have ended has not.
PATIENCE = 30.0


class WrongReply(Exception):
    """
    The server did not do what an echo does; the text says what.
    """


def built(folder: Path) -> Path:
    """
    Compile the generator.

    :raise bench.toolchains.Missing: without a compiler.
    """
    return compiled(sorted((HERE / "load").glob("*.c")), folder / "load")


@dataclass(frozen=True)
class Load:
    """
    What a generator does.

    :param kind: ``streams``, ``datagrams``, ``accepts`` or ``idle``.
    :param peers: connections or sockets.
    :param size: bytes of a message.
    :param flying: datagrams on their way from each socket.
    """

    kind: str
    peers: int
    size: int = 1
    flying: int = 0

    @property
    def transport(self) -> str:
        """
        Name what it goes over: ``tcp`` or ``udp``.
        """
        return "udp" if self.kind == "datagrams" else "tcp"


class Generator:
    """
    A running generator, connected and warmed up.

    :param program: see :func:`built`.
    :param port: of the server.
    :param warm: seconds of warm-up.
    :param seconds: of the timed part.
    :raise WrongReply: by all methods.
    """

    def __init__(self, program: Path, load: Load, port: int, warm: float, seconds: float) -> None:
        words = [load.kind, port, load.peers, load.flying, load.size, warm, seconds]
        self._process = subprocess.Popen(
            [program, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _line(self) -> str:
        assert self._process.stdout and self._process.stderr
        line = self._process.stdout.readline()
        if not line:
            raise WrongReply(self._process.stderr.read().strip() or "the generator vanished")
        return line

    def ready(self) -> None:
        """
        Wait until it is connected and warm, and the server at rest.
        """
        self._line()

    def go(self) -> None:
        """
        Start the timed part.
        """
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def result(self) -> Mapping[str, float]:
        """
        Wait for the end of the timed part; the connections stay.

        :return: ``messages``, ``seconds``, ``p50`` and ``p99`` (microseconds),
            ``lost`` and ``late``.
        """
        found: Mapping[str, float] = json.loads(self._line())
        return found

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
