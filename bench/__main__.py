"""
The command: ``python -m bench``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import startup
from bench.generator import built
from bench.machine import machine
from bench.process import Cores
from bench.rounds import Results, run
from bench.rows import ROWS, Setting
from bench.servers import MAKERS, Server, made
from bench.toolchains import Missing

#: Our own, to which the others are compared; and the least that it can take.
OURS, LEAST = "echotwist", "C"

STARTUP = "startup"


def parser() -> argparse.ArgumentParser:
    """
    Make the command line.
    """
    words = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure what an echo costs the server's processor, ours and others'.",
    )
    keys = [row.key for row in ROWS] + [STARTUP]
    words.add_argument(
        "--short", action="store_true", help="one short round, to see that everything runs"
    )
    words.add_argument("--rounds", type=int, metavar="N", help="paired rounds (7)")
    words.add_argument("--seconds", type=float, help="of each measurement (0.5)")
    words.add_argument(
        "--only", action="append", choices=keys, metavar="ROW", help=f"one of {', '.join(keys)}"
    )
    words.add_argument(
        "--servers",
        type=lambda text: text.split(","),
        default=list(MAKERS),
        metavar="A,B",
        help=f"some of {', '.join(MAKERS)}",
    )
    words.add_argument("--latency", action="store_true", help="print latencies as well")
    words.add_argument(
        "--chart", type=Path, default=Path("bench.svg"), help="SVG to draw (bench.svg)"
    )
    words.add_argument("--table", type=Path, help="reST to write the tables to")
    words.add_argument("--json", type=Path, help="where to write all that was measured")
    return words


def problem(options: argparse.Namespace) -> str | None:
    """
    Tell in one line what keeps it from running.
    """
    if not sys.platform.startswith("linux"):
        return "needs Linux, for epoll and /proc"
    unknown = [name for name in options.servers if name not in MAKERS]
    if unknown:
        return f"no such server: {', '.join(unknown)}; there are {', '.join(MAKERS)}"
    for module in ("matplotlib", "tabulate", "psutil"):
        if not importlib.util.find_spec(module):
            return f"{module} is missing: pip install -e '.[bench]'"
    return None


def say(text: str) -> None:
    """
    Tell on standard error what is going on.
    """
    print(text, file=sys.stderr, flush=True)


def tell(text: str, file: Path) -> None:
    """
    Write a file, and say so.
    """
    file.write_text(text)
    print(f"wrote {file}")


class Bench:
    """
    One run of everything that was asked for.

    :param options: see :func:`parser`.
    :ivar skipped: why servers are missing, by name.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._cores = Cores()
        self._rounds = options.rounds or (1 if options.short else 7)
        only = options.only or [row.key for row in ROWS] + [STARTUP]
        self._rows = [row for row in ROWS if row.key in only]
        self._starts = STARTUP in only
        self._servers: list[Server] = []
        self.skipped: dict[str, str] = {}
        self.results = Results()
        self.startups = Results()

    def _setting(self, program: Path) -> Setting:
        short = self._options.short
        return Setting(
            program,
            self._cores,
            warm=0.02 if short else 0.2,
            seconds=self._options.seconds or (0.1 if short else 0.5),
            idle=200 if short else 10000,
        )

    def measure(self) -> None:
        """
        Build and run.

        :raise Missing: when the generator cannot be built.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            setting = self._setting(built(folder))
            self._servers, self.skipped = made(self._options.servers, folder)
            if self._rows and self._servers:
                self.results = run(self._rows, self._servers, self._rounds, setting, say)
        if self._starts:
            say("start-up")
            self.startups = startup.run(self._rounds, self._cores)

    def _sections(self, style: str) -> list[tuple[str, str]]:
        from bench import report

        names = [server.name for server in self._servers]
        found: list[tuple[str, str]] = []
        if self._rows and names:
            found += report.sections(self.results, self._rows, names, [LEAST, OURS], style)
            if self._options.latency:
                table = report.latencies(self.results, self._rows, names, style)
                found.append(("Latency, p50 / p99, µs", table))
        if self._starts:
            found.append(report.startups(self.startups, list(startup.APPLICATIONS), style))
        return found

    def _notes(self) -> list[str]:
        from bench import report

        seconds = self._setting(Path()).seconds
        notes = [f"{name}: {value}" for name, value in machine().items()]
        notes.append(f"rounds: {self._rounds}, {seconds} s for each measurement")
        if not self._cores.apart:
            notes.append("one core only: server and client share it")
        notes += [f"skipped: {name}, {reason}" for name, reason in self.skipped.items()]
        return notes + list(report.losses(self.results))

    def print(self) -> None:
        """
        Print the tables and what belongs to them.
        """
        for title, table in self._sections("simple"):
            print(f"\n{title}\n\n{table}")
        print("", *self._notes(), sep="\n")

    def _write(self) -> None:
        options = self._options
        if options.table:
            tables = [f"{title}:\n\n{table}\n" for title, table in self._sections("rst")]
            notes = "\n".join(f"- {note}" for note in self._notes())
            tell("\n".join([*tables, notes]) + "\n", options.table)
        if options.json:
            found = {
                "machine": machine(),
                "skipped": self.skipped,
                "faults": self.results.faults,
                "rows": self.results.cells | self.startups.cells,
            }
            tell(json.dumps(found, indent=1, ensure_ascii=False) + "\n", options.json)

    def write(self) -> None:
        """
        Write the files that were asked for.
        """
        from bench import chart

        self._write()
        loads = [row for row in self._rows if row.figures[0][0] == "cpu"]
        if loads and self._servers:
            names = [server.name for server in self._servers]
            chart.draw(self._options.chart, self.results, loads, names)
            print(f"drew {self._options.chart}")


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :return: the exit status: 1 when a server was wrong or nothing could run.
    """
    options = parser().parse_args(arguments)
    wrong = problem(options)
    if wrong:
        say(f"bench: {wrong}")
        return 1
    bench = Bench(options)
    try:
        bench.measure()
    except Missing as missing:
        say(f"bench: no load generator: {missing}")
        return 1
    bench.print()
    bench.write()
    for fault in bench.results.faults:
        say(f"WRONG: {fault}")
    return 1 if bench.results.faults else 0


if __name__ == "__main__":
    sys.exit(main())
