"""
Draw a search for the MTU: the sizes that were tried, and the outcome of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: The mark and the colour of each outcome.
_MARKS = {
    "answered": ("o", "#2e8b57"),
    "refused": ("v", "#e08a00"),
    "reported": ("v", "#7a4fa3"),
    "unanswered": ("x", "#c8102e"),
}


def draw(results: Sequence[Mapping[str, Any]], figure: Any) -> None:
    """
    Draw all results, one above the other.
    """
    axes = figure.subplots(len(results), 1, squeeze=False)
    for [place], result in zip(axes, results, strict=True):
        _drawOne(place, result)


def _drawOne(axes: Any, result: Mapping[str, Any]) -> None:
    found = "unknown" if result["mtu"] is None else result["mtu"]
    axes.set_title(f"{result['target']} ({result['address']}): MTU {found}", loc="left")
    for outcome, (mark, colour) in _MARKS.items():
        for isWhole in (True, False):
            some = [
                one
                for one in result["trials"]
                if (one["outcome"], one["isWhole"]) == (outcome, isWhole)
            ]
            if some:
                label = outcome if isWhole else f"{outcome}, in fragments"
                style = {} if isWhole or mark == "x" else {"mfc": "none"}
                places = [[one["number"] for one in some], [one["size"] for one in some]]
                axes.plot(*places, mark, ms=6, c=colour, label=label, ls="", **style)
    for name, way in {"there": result["mtuThere"], "back": result["mtuBack"]}.items():
        if way["least"]:
            axes.axhline(way["least"], c="#1f5fa8", lw=0.9, ls="-" if name == "there" else ":")
            at = (1, way["least"])
            place = {"xytext": (-30, 3 if name == "there" else -10), "textcoords": "offset points"}
            axes.annotate(f"{name} {way['least']}", at, fontsize=8, **place)
    axes.set_xlabel("packet" if result["kind"] == "udp" else "connection")
    axes.set_ylabel("bytes")
    axes.margins(x=0.08, y=0.12)
    axes.grid(alpha=0.25)
    if result["trials"]:
        axes.legend(loc="best", fontsize=8, framealpha=0.8)
