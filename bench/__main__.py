"""
The command: ``python -m bench``.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from bench.command import say, some

if TYPE_CHECKING:
    from bench.report import Report
    from bench.rounds import Results
    from bench.rows import Setting

#: What is imported, and not part of Python or of the service.
LIBRARIES = ("matplotlib", "psutil", "tabulate")

#: Other commands, each a module with a ``main``.
OTHERS = {
    "doctor": "examines echo services, ours and others'",
    "probe": "compares tools that measure paths, ours and others'",
}


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
    words = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure what an echo costs the server's processor, ours and others'.",
        epilog="; ".join(f"python -m bench {name} {text}" for name, text in OTHERS.items()),
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

    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in OTHERS:
        return int(import_module(f"bench.{words[0]}").main(words[1:]))

    from bench.rounds import Results, Unreadable
    from bench.rows import ROWS, STARTUP
    from bench.servers import MAKERS
    from bench.toolchains import Missing

    options = parser([*(row.key for row in ROWS), STARTUP], list(MAKERS)).parse_args(words)
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
