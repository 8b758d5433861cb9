"""
What is measured: a row each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.generator import Generator, Load
from bench.process import Cores, openFiles, processorTime, runningOn, settled
from bench.servers import Running, Server

#: The most connections of a measurement, and the files that a server has open besides.
MOST, SPARE_FILES = 10000, 200


@dataclass(frozen=True)
class Setting:
    """
    What all measurements share.

    :param program: the generator.
    :param rounds: how many there are.
    :param warm: seconds of warm-up.
    :param seconds: of the timed part.
    :param most: connections that there may be, whatever a row wants.
    :param sample: only rows that are samples are for all servers.
    """

    program: Path
    cores: Cores
    rounds: int
    warm: float
    seconds: float
    most: int
    sample: bool = False

    @classmethod
    def chosen(
        cls, program: Path, cores: Cores, short: bool, rounds: int | None, seconds: float | None
    ) -> Setting:
        """
        Take the values that were chosen, and defaults for the rest.

        :param short: no more than shows that it runs.
        """
        if short:
            return cls(program, cores, rounds or 1, 0.02, seconds or 0.1, 200, sample=True)
        most = openFiles(MOST + SPARE_FILES) - SPARE_FILES
        return cls(program, cores, rounds or 7, 0.2, seconds or 0.5, most)

    def generator(self, load: Load, port: int) -> Generator:
        """
        Start a generator on the client's core.
        """
        load = replace(load, peers=min(load.peers, self.most))
        with runningOn(self.cores.client):
            return Generator(self.program, load, port, self.warm, self.seconds)


@dataclass(frozen=True)
class Figure:
    """
    Something that is measured.

    :param name: in what :meth:`Row.measure` gives.
    :param suffix: stands behind the row's label in a table.
    :param more: is better.
    """

    name: str
    suffix: str = ""
    more: bool = False


#: Microseconds of the server's processor for each message.
CPU = Figure("cpu")

#: Microseconds that a message takes there and back.
LATENCIES = [Figure(name, f", {name}") for name in ("p50", "p99", "p99.9")]


@dataclass(frozen=True)
class Row:
    """
    One measurement of a server under load.

    :param key: names it on the command line.
    :param label: names it in the table.
    :param figures: what the table shows of what :meth:`measure` gives.
    :param sample: even the shortest run has all servers do it.
    """

    key: str
    label: str
    load: Load
    figures: tuple[Figure, ...] = (CPU,)
    sample: bool = False

    @property
    def timed(self) -> bool:
        """
        Tell whether its first figure is processor time.
        """
        return self.figures[0] is CPU

    def takes(self, server: Server) -> bool:
        """
        Tell whether the measurement makes sense for a server.
        """
        return self.load.transport in server.commands and self.load.peers <= server.most

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
    The memory of connections that send nothing.
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
        with setting.generator(self.load, running.port) as generator:
            generator.ready()
            return {"memory": (settled(running.pid) - before) / min(self.load.peers, setting.most)}


#: The row that compares no echoes, see :mod:`bench.startup`.
STARTUP = "startup"

ROWS = [
    Row("tcp-1x64", "TCP 1 × 64 B", Load("streams", 1, 64), sample=True),
    Row("tcp-10x64", "TCP 10 × 64 B", Load("streams", 10, 64)),
    Row("tcp-100x64", "TCP 100 × 64 B", Load("streams", 100, 64)),
    Row("tcp-1000x64", "TCP 1,000 × 64 B", Load("streams", 1000, 64)),
    Row("tcp-10000x64", "TCP 10,000 × 64 B", Load("streams", MOST, 64)),
    Row("tcp-50x1k", "TCP 50 × 1 KiB", Load("streams", 50, 1024)),
    Row("tcp-500x1k", "TCP 500 × 1 KiB", Load("streams", 500, 1024)),
    Row("tcp-50x64k", "TCP 50 × 64 KiB", Load("streams", 50, 65536)),
    Row("tcp-2x1m", "TCP 2 × 1 MiB", Load("streams", 2, 1 << 20)),
    Row("udp-1x1x64", "UDP 1 × 1 × 64 B", Load("datagrams", 1, 64, 1), sample=True),
    Row("udp-10x10x64", "UDP 10 × 10 × 64 B", Load("datagrams", 10, 64, 10)),
    Row("udp-10x10x1400", "UDP 10 × 10 × 1400 B", Load("datagrams", 10, 1400, 10)),
    Row("udp-2x2x60000", "UDP 2 × 2 × 60,000 B", Load("datagrams", 2, 60000, 2)),
    Row(
        "accepts",
        "Accept, echo a byte",
        Load("accepts", 16),
        (CPU, Figure("rate", ", a second (more is better)", more=True)),
    ),
    IdleRow("idle", "Idle connection", Load("idle", MOST), (Figure("memory", ", bytes"),)),
]

#: How the processor time grows with the connections.
GROWTH = [row for row in ROWS if row.load.kind == "streams" and row.load.size == 64]
