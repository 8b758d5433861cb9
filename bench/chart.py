"""
What was found, as a picture of two panels that needs no colour to be read.
"""

from __future__ import annotations

from math import nan
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.rounds import Results
from bench.rows import CPU, GROWTH, ROWS
from bench.servers import LEAST, OURS

#: Each shows the best of some servers.
LINES = {
    "echotwist": (OURS,),
    "C": LEAST,
    "uvloop": ("uvloop",),
    "Go": ("Go", "Go io.Copy"),
    "echotwist portable": ("echotwist portable",),
    "Twisted": ("Twisted",),
}

#: How each looks, in colours that all eyes tell apart (Okabe and Ito).
STYLES: dict[str, dict[str, Any]] = {
    "echotwist": {"color": "#000000", "marker": "o", "linestyle": "-"},
    "C": {"color": "#D55E00", "marker": "^", "linestyle": "--"},
    "uvloop": {"color": "#009E73", "marker": "D", "linestyle": "-."},
    "Go": {"color": "#0072B2", "marker": "s", "linestyle": ":"},
    "echotwist portable": {
        "color": "#000000",
        "marker": "o",
        "linestyle": (0, (6, 2)),
        "fillstyle": "none",
    },
    "Twisted": {"color": "#CC79A7", "marker": "x", "linestyle": (0, (1, 3))},
}

#: What makes the same figures give the same file.
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "echotwist",
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],  # each text names all that there are
    "font.size": 9,
    "lines.markersize": 5,
    "lines.linewidth": 1.2,
}


def _logarithmic(axis: Any, ticks: list[float]) -> None:
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_ticks(ticks)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())


def _finish(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(below)
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _relations(axes: Axes, results: Results) -> None:
    """
    Draw what the others need for what ours needs, with the spread.
    """
    rows = [row for row in ROWS if row.timed and row.key in results.cells]
    for name, servers in LINES.items():
        places: list[float] = []
        medians: list[float] = []
        spreads: list[float] = []
        for place, row in enumerate(rows):
            best = results.best(row.key, servers, CPU)
            ratio = results.ratio(row.key, best, OURS, CPU.name) if best else None
            if ratio and name != "echotwist":
                places += [place, place, nan]
                medians += [ratio.median, nan, nan]
                spreads += [ratio.least, ratio.most, nan]
        axes.plot(spreads, places, color=STYLES[name]["color"], linewidth=0.8)
        axes.plot(medians, places, **STYLES[name] | {"linestyle": ""})
    axes.axvline(1, color="black")
    _logarithmic(axes.xaxis, [0.25, 0.5, 1, 2, 4, 8])
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.invert_yaxis()
    below = "left of 1: less than echotwist; right of 1: more"
    _finish(axes, "Processor time for each message, echotwist = 1", below)


def _growth(axes: Axes, results: Results) -> None:
    """
    Draw how the time for each message changes with the connections.
    """
    for name, servers in LINES.items():
        found = {
            row.load.peers: results.median(row.key, best, CPU.name) or nan
            for row in GROWTH
            if (best := results.best(row.key, servers, CPU))
        }
        axes.plot([*found], [*found.values()], **STYLES[name])
    _logarithmic(axes.xaxis, [row.load.peers for row in GROWTH])
    _logarithmic(axes.yaxis, [2, 5, 10, 20, 50])
    _finish(axes, "Processor time for each message, µs", "TCP connections, 64 B each")


def draw(file: Path, results: Results) -> None:
    """
    Draw the processor time: to the left what the others need at each load for
    what ours needs, to the right how it grows with the connections.

    :param file: an SVG.
    """
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(10, 4.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        _relations(left, results)
        _growth(right, results)
        marks = [Line2D([], [], label=name, **style) for name, style in STYLES.items()]
        figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), handlelength=3)
        figure.savefig(file, format="svg", metadata={"Date": None})
