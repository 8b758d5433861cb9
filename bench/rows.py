"""
What is measured: a row each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.generator import Generator, Load
from bench.process import Cores, openFiles, processorTime, runningOn, settled
from bench.servers import Running, Server

#: Files that a server may have open besides its connections.
SPARE_FILES = 200


@dataclass(frozen=True)
class Setting:
    """
    What all measurements share.

    :param program: the generator.
    :param rounds: how many there are.
    :param warm: seconds of warm-up.
    :param seconds: of the timed part.
    :param idle: how many idle connections there are.
    """

    program: Path
    cores: Cores
    rounds: int
    warm: float
    seconds: float
    idle: int

    @classmethod
    def chosen(
        cls, program: Path, cores: Cores, short: bool, rounds: int | None, seconds: float | None
    ) -> Setting:
        """
        Take what somebody chose, and the usual for the rest.

        :param short: no more than shows that it runs.
        """
        if short:
            return cls(program, cores, rounds or 1, 0.02, seconds or 0.1, idle=200)
        idle = openFiles(10000 + SPARE_FILES) - SPARE_FILES
        return cls(program, cores, rounds or 7, 0.2, seconds or 0.5, idle)

    def generator(self, load: Load, port: int) -> Generator:
        """
        Start a generator on the client's core.
        """
        with runningOn(self.cores.client):
            return Generator(self.program, load, port, self.warm, self.seconds)


@dataclass(frozen=True)
class Row:
    """
    One measurement of a server under load.

    :param key: names it on the command line.
    :param label: names it in the table.
    :param figures: what the table shows of what :meth:`measure` gives, each
        with what stands behind the label.
    """

    key: str
    label: str
    load: Load
    figures: tuple[tuple[str, str], ...] = (("cpu", ""),)

    @property
    def timed(self) -> bool:
        """
        Tell whether its first figure is processor time.
        """
        return self.figures[0][0] == "cpu"

    def takes(self, server: Server) -> bool:
        """
        Tell whether the measurement makes sense for a server.
        """
        known = self.load.transport in server.commands
        return known and (server.only is None or self.key in server.only)

    def run(self, server: Server, setting: Setting) -> Mapping[str, float]:
        """
        Start the server, measure, and stop it.

        :raise bench.generator.WrongReply: when it is no echo.
        """
        with Running(server.commands[self.load.transport], setting.cores.server) as running:
            return self.measure(running, setting)

    def measure(self, running: Running, setting: Setting) -> Mapping[str, float]:
        """
        Measure a running server.

        :return: what the generator found, ``cpu`` (microseconds of the
            server's processor for each message) and ``rate`` (messages a
            second).
        """
        with setting.generator(self.load, running.port) as generator:
            generator.ready()
            before = processorTime(running.pid)
            generator.go()
            found = generator.result()
            spent = processorTime(running.pid) - before
        cpu = spent / 1000 / found["messages"]
        return {**found, "cpu": cpu, "rate": found["messages"] / found["seconds"]}


class IdleRow(Row):
    """
    What connections take that say nothing.
    """

    def measure(self, running: Running, setting: Setting) -> Mapping[str, float]:
        """
        Measure a running server.

        :return: ``memory`` (resident bytes for each connection).
        """
        # One comes first, so that what is loaded late is not counted.
        with setting.generator(Load("idle", 1), running.port) as first:
            first.ready()
        before = settled(running.pid)
        with setting.generator(Load("idle", setting.idle), running.port) as generator:
            generator.ready()
            return {"memory": (settled(running.pid) - before) / setting.idle}


#: The row that compares no echoes, see :mod:`bench.startup`.
STARTUP = "startup"

ROWS = [
    Row("tcp-1x64", "TCP 1 × 64 B", Load("streams", 1, 64)),
    Row("tcp-50x1k", "TCP 50 × 1 KiB", Load("streams", 50, 1024)),
    Row("tcp-500x1k", "TCP 500 × 1 KiB", Load("streams", 500, 1024)),
    Row("tcp-50x64k", "TCP 50 × 64 KiB", Load("streams", 50, 65536)),
    Row("tcp-2x1m", "TCP 2 × 1 MiB", Load("streams", 2, 1 << 20)),
    Row("udp-64", "UDP 10 × 10 × 64 B", Load("datagrams", 10, 64, 10)),
    Row("udp-1400", "UDP 10 × 10 × 1400 B", Load("datagrams", 10, 1400, 10)),
    Row(
        "accepts",
        "Accept, echo a byte",
        Load("accepts", 16),
        (("cpu", ""), ("rate", ", a second (more is better)")),
    ),
    IdleRow("idle", "Idle connection", Load("idle", 1), (("memory", ", bytes"),)),
]
