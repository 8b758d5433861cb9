"""
What was found, as a picture of three panels that needs no colour to be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import number
from bench.rounds import Results
from bench.rows import CPU
from bench.tables import SHOWN

#: What they do, a panel each, by the key of its row.
PANELS = {
    "tcp-100x64": "A small message, TCP\n(100 connections, 64 B)",
    "tcp-2x1m": "A large message, TCP\n(2 connections, 1 MiB)",
    "udp-10x10x64": "A small datagram, UDP\n(10 clients, 64 B)",
}

#: Ours is dark, the others are light: a printer without colour shows that too.
DARK, LIGHT, SPREAD = "#0072B2", "#c9d3da", "#444444"

#: What makes the same figures give the same file.
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "echotwist",
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],  # each text names all that there are
    "font.size": 10,
}


def _panel(axes: Axes, results: Results, key: str) -> None:
    """
    Draw a bar for each: the median of the rounds, and a line from the least to the most.
    """
    found = {name: results.best(key, servers, CPU) for name, servers in SHOWN.items()}
    cells = {name: results.cells[key][best][CPU.name] for name, best in found.items() if best}
    medians = [results.median(key, best, CPU.name) or 0 for best in found.values() if best]
    colours = [DARK if name == "echotwist" else LIGHT for name in cells]
    axes.barh([*cells], medians, color=colours, edgecolor=SPREAD, linewidth=0.6)
    axes.hlines(
        [*cells],
        [min(rounds) for rounds in cells.values()],
        [max(rounds) for rounds in cells.values()],
        color=SPREAD,
        linewidth=1,
    )
    for name, median in zip(cells, medians, strict=True):
        axes.annotate(
            f"{number(median)} µs",
            (max(cells[name]), name),
            xytext=(4, 0),
            textcoords="offset points",
            verticalalignment="center",
        )
    most = max((max(rounds) for rounds in cells.values()), default=1)
    axes.set_xlim(0, most * 1.35)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.set_title(PANELS[key], loc="left", fontsize=11)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def draw(file: Path, results: Results) -> None:
    """
    Draw the processor time that a message costs each server, for those loads of the
    panels that were measured.

    :param file: an SVG.
    """
    keys = [key for key in PANELS if key in results.cells]
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(10, 3), layout="constrained")
        for place, key in enumerate(keys):
            _panel(figure.add_subplot(1, len(keys), place + 1), results, key)
        figure.supxlabel(
            "processor time of the server for each message: less is better", fontsize=10
        )
        figure.savefig(file, format="svg", metadata={"Date": None})
