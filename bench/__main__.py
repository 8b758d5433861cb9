"""
The command: ``python -m bench``.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report import Report
    from bench.rows import Setting

#: What is imported, and not part of Python or of the service.
LIBRARIES = ("matplotlib", "psutil", "tabulate")


def say(text: str) -> None:
    """
    Tell on standard error what is going on.
    """
    print(text, file=sys.stderr, flush=True)


def problem() -> str | None:
    """
    Tell in one line what keeps it from running at all.
    """
    if not sys.platform.startswith("linux"):
        return "needs Linux, for epoll and /proc"
    missing = [name for name in LIBRARIES if not importlib.util.find_spec(name)]
    if missing:
        return f"needs {', '.join(missing)}: pip install -e '.[bench]'"
    return None


def parser(rows: Sequence[str], servers: Sequence[str]) -> argparse.ArgumentParser:
    """
    Make the command line.

    :param rows: all that there are.
    :param servers: all that there are.
    """

    def some(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in servers:
                raise argparse.ArgumentTypeError(f"no such server: {name}")
        return names

    words = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure what an echo costs the server's processor, ours and others'.",
    )
    add = words.add_argument
    add("--short", action="store_true", help="one short round, to see that everything runs")
    add("--rounds", type=int, metavar="N", help="paired rounds (7)")
    add("--seconds", type=float, metavar="N", help="of each measurement (0.5)")
    add("--only", action="append", choices=rows, metavar="ROW", help=f"of {', '.join(rows)}")
    add("--servers", type=some, default=servers, metavar="A,B", help=f"of {', '.join(servers)}")
    add("--workers", type=int, nargs="?", const=2, metavar="N", help="compare N workers with one")
    add("--chart", type=Path, default=Path("bench.svg"), metavar="FILE", help="SVG (bench.svg)")
    add("--table", type=Path, metavar="FILE", help="the tables as reST")
    add("--json", type=Path, metavar="FILE", help="all that was measured")
    return words


def reports(options: argparse.Namespace, setting: Setting, folder: Path) -> Iterator[Report]:
    """
    Measure what was asked for.
    """
    from bench.comparison import compare, compareStartups
    from bench.rows import ROWS, STARTUP
    from bench.workers import compareWorkers

    if options.workers:
        yield compareWorkers(options.workers, setting, say)
        return
    rows = [row for row in ROWS if not options.only or row.key in options.only]
    if rows:
        yield compare(rows, options.servers, folder, options.chart, setting, say)
    if not options.only or STARTUP in options.only:
        yield compareStartups(setting, say)


def measure(options: argparse.Namespace) -> Report:
    """
    Build the generator, measure, and put all into one report.

    :raise bench.toolchains.Missing: when the generator cannot be built.
    """
    from bench.generator import built
    from bench.process import Cores
    from bench.report import Report, circumstances
    from bench.rows import Setting

    whole = Report()
    with tempfile.TemporaryDirectory() as name:
        setting = Setting.chosen(
            built(Path(name)),
            Cores(pinned=not options.workers),
            options.short,
            options.rounds,
            options.seconds,
        )
        whole.notes += circumstances(setting)
        for report in reports(options, setting, Path(name)):
            whole.add(report)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :return: the exit status: 1 when a server was wrong or nothing could run.
    """
    wrong = problem()
    if wrong:
        say(f"bench: {wrong}")
        return 1

    from bench.rows import ROWS, STARTUP
    from bench.servers import MAKERS
    from bench.toolchains import Missing

    options = parser([*(row.key for row in ROWS), STARTUP], list(MAKERS)).parse_args(arguments)
    try:
        report = measure(options)
    except Missing as missing:
        say(f"bench: no load generator: {missing}")
        return 1
    report.print()
    if options.table:
        report.writeTable(options.table)
    if options.json:
        report.writeJSON(options.json)
    for fault in report.faults:
        say(f"WRONG: {fault}")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
