"""
The command: ``python -m bench``.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report import Report
    from bench.rounds import Results
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

    def some(known: Sequence[str]) -> Callable[[str], list[str]]:
        def names(text: str) -> list[str]:
            for name in text.split(","):
                if name not in known:
                    raise argparse.ArgumentTypeError(f"there is no {name}")
            return text.split(",")

        return names

    words = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure what an echo costs the server's processor, ours and others'.",
    )
    add = words.add_argument
    add("--short", action="store_true", help="one short round, to see that everything runs")
    add("--rounds", type=int, metavar="N", help="paired rounds (7)")
    add("--seconds", type=float, metavar="N", help="of each measurement (0.5)")
    for name, known in {"only": rows, "servers": servers}.items():
        text = f"of {', '.join(known)}"
        add(f"--{name}", type=some(known), default=known, metavar="A,B", help=text)
    add("--workers", type=int, nargs="?", const=2, metavar="N", help="compare N workers with one")
    add("--from", type=Path, dest="source", metavar="FILE", help="show an older --json again")
    add("--chart", type=Path, default=Path("bench.svg"), metavar="FILE", help="SVG (bench.svg)")
    add("--table", type=Path, metavar="FILE", help="the tables as reST")
    add("--json", type=Path, metavar="FILE", help="all that was measured")
    add("--publish", action="store_true", help="write docs/speed.* of this checkout")
    return words


def compared(options: argparse.Namespace, setting: Setting, folder: Path) -> Report:
    """
    Measure what was asked for.
    """
    from bench.comparison import compare
    from bench.workers import compareWorkers

    if options.workers:
        return compareWorkers(options.workers, setting, say)
    return shown(compare(options.only, options.servers, folder, setting, say), options)


def shown(results: Results, options: argparse.Namespace) -> Report:
    """
    Draw the chart, and give all else that there is to say.
    """
    from bench.chart import draw
    from bench.pages import publish
    from bench.tables import told

    draw(options.chart, results)
    if options.publish:
        publish(results)
    return told(results)


def measured(options: argparse.Namespace) -> Report:
    """
    Build the generator, and measure.

    :raise bench.toolchains.Missing: when the generator cannot be built.
    """
    from bench.generator import built
    from bench.process import Cores
    from bench.rows import Setting

    with tempfile.TemporaryDirectory() as name:
        setting = Setting.chosen(
            built(Path(name)),
            Cores(pinned=not options.workers),
            options.short,
            options.rounds,
            options.seconds,
        )
        return compared(options, setting, Path(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :return: the exit status: 1 when a server was wrong or nothing could run.
    """
    wrong = problem()
    if wrong:
        say(f"bench: {wrong}")
        return 1

    from bench.rounds import Results, Unreadable
    from bench.rows import ROWS, STARTUP
    from bench.servers import MAKERS
    from bench.toolchains import Missing

    options = parser([*(row.key for row in ROWS), STARTUP], list(MAKERS)).parse_args(arguments)
    try:
        if options.source:
            report = shown(Results.read(options.source), options)
        else:
            report = measured(options)
    except Missing as missing:
        say(f"bench: no load generator: {missing}")
        return 1
    except Unreadable as unreadable:
        say(f"bench: {unreadable}")
        return 1
    report.print()
    if options.table:
        options.table.write_text(report.reST())
    if options.json:
        report.writeJSON(options.json)
    for fault in report.faults:
        say(f"WRONG: {fault}")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
