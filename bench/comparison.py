"""
All servers, side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench import report, startup
from bench.chart import draw
from bench.rounds import Results, run
from bench.rows import Row, Setting
from bench.servers import Server, made

#: To whom all are compared, where they take part: the least that it takes, and ours.
BASES = ["C", "echotwist"]


def _tables(results: Results, rows: Sequence[Row], servers: Sequence[Server]) -> list[report.Table]:
    names = [server.name for server in servers]
    if not rows or not names:
        return []
    found = [report.medians(results, rows, names)]
    found += [report.ratios(results, rows, names, base) for base in BASES if base in names]
    if any(row.timed for row in rows):
        found.append(report.latencies(results, rows, names))
    return found


def compare(
    rows: Sequence[Row],
    names: Sequence[str],
    folder: Path,
    chart: Path,
    setting: Setting,
    say: Callable[[str], object],
) -> report.Report:
    """
    Build the servers, measure them, and draw the chart.

    :param names: of the servers.
    :param folder: where to build.
    :param chart: the SVG.
    :param say: is told what is going on.
    """
    servers, skipped = made(names, folder)
    results = run(rows, servers, setting, say)
    notes = [f"skipped: {name}, {reason}" for name, reason in skipped.items()]
    timed = [row for row in rows if row.timed]
    if timed and servers:
        draw(chart, results, timed, [server.name for server in servers])
        notes.append(f"chart: {chart.name}")
    return report.Report(
        _tables(results, rows, servers),
        [*notes, *report.losses(results)],
        {"skipped": skipped, "rows": results.cells},
        results.faults,
    )


def compareStartups(setting: Setting, say: Callable[[str], object]) -> report.Report:
    """
    Measure how long it takes until a server answers.
    """
    say("start-up")
    results = startup.run(setting.rounds, setting.cores)
    table = report.startups(results, list(startup.APPLICATIONS))
    return report.Report([table], [], results.cells, results.faults)
