"""
What was found, as a picture that can be read in black and white.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import number
from bench.rounds import Results
from bench.rows import Row

#: One for each column, in turn; the first is filled.
HATCHES = ["", "////", "....", "xxxx", "----", "\\\\\\\\", "oo", "++"]

COLUMNS = 2

#: What makes the same figures give the same file.
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "echotwist",
    "svg.fonttype": "none",
    "hatch.linewidth": 0.6,
}


def _bars(axes: Axes, results: Results, row: Row, servers: Sequence[str]) -> None:
    for place, server in enumerate(servers):
        value = results.median(row.key, server, "cpu")
        bars = axes.barh(
            place,
            value or 0,
            facecolor="0.25" if place == 0 else "white",
            edgecolor="black",
            hatch=HATCHES[place % len(HATCHES)],
        )
        axes.bar_label(bars, [number(value)], padding=3, fontsize=8)
    axes.set_title(row.label, fontsize=10, loc="left")
    axes.set_yticks(range(len(servers)), servers, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def draw(file: Path, results: Results, rows: Sequence[Row], servers: Sequence[str]) -> None:
    """
    Draw the processor time for each message: a panel for each row, a bar for
    each server.

    :param file: an SVG.
    """
    deep = max(1, -(-len(rows) // COLUMNS))
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(
            figsize=(10, 0.7 + deep * (0.7 + 0.25 * len(servers))), layout="constrained"
        )
        panels = figure.subplots(deep, COLUMNS, squeeze=False).flat
        for row, axes in zip(rows, panels, strict=False):
            _bars(axes, results, row, servers)
        for axes in panels:
            axes.set_visible(False)
        figure.suptitle("Processor time of the server for each message, µs (less is better)")
        figure.savefig(file, format="svg", metadata={"Date": None})
