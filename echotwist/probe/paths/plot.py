"""
Draw a comparison of source ports: loss and round trips by port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Colours: of ports like the others, and of those that stand out.
_LIKE, _OUT = "#1f5fa8", "#c8102e"

_MS = 10**6


def draw(results: Sequence[Mapping[str, Any]], figure: Any) -> None:
    """
    Draw all results, one above the other.
    """
    axes = figure.subplots(len(results), 2, squeeze=False)
    for [left, right], result in zip(axes, results, strict=True):
        _drawLosses(left, result)
        _drawTimes(right, result)


def _drawLosses(axes: Any, result: Mapping[str, Any]) -> None:
    axes.set_title(f"{result['target']}: {result['lossy']} ports lose more", loc="left")
    ports = result["byPort"]
    shares = [100 * (one["share"] or 0) for one in ports]
    colours = [_OUT if one["isLossy"] else _LIKE for one in ports]
    axes.bar(range(len(ports)), shares, color=colours, width=0.9)
    axes.set_ylabel("lost, %")
    axes.set_ylim(0, max(1.0, *shares) * 1.1)
    _label(axes, ports, [one["isLossy"] for one in ports], shares)


def _drawTimes(axes: Any, result: Mapping[str, Any]) -> None:
    axes.set_title(f"{result['slow']} are slower, {result['fast']} faster", loc="left")
    ports = [one for one in result["byPort"] if one["rttNs"]]
    for isOut, colour in ((False, _LIKE), (True, _OUT)):
        some = [(n, one["rttNs"]) for n, one in enumerate(ports) if bool(one["differs"]) == isOut]
        if some:
            places = [n for n, _ in some]
            ends = [[rtt[key] / _MS for _, rtt in some] for key in ("min", "p90")]
            axes.vlines(places, *ends, color=colour, alpha=0.35, lw=2)
            axes.plot(places, [rtt["median"] / _MS for _, rtt in some], ".", c=colour, ms=5)
    axes.set_ylabel("ms: least, median, p90")
    axes.set_ylim(bottom=0)
    medians = [one["rttNs"]["median"] / _MS for one in ports]
    _label(axes, ports, [bool(one["differs"]) for one in ports], medians)


def _label(
    axes: Any, ports: Sequence[Mapping[str, Any]], areOut: Sequence[bool], heights: Sequence[float]
) -> None:
    """
    Label the first few ports that stand out.
    """
    axes.set_xlabel("source ports, in ascending order")
    axes.grid(alpha=0.25, axis="y")
    out = [number for number, isOut in enumerate(areOut) if isOut]
    for number in out[:12]:
        place = {"xytext": (0, 3), "textcoords": "offset points", "fontsize": 7, "ha": "center"}
        axes.annotate(ports[number]["port"] or "-", (number, heights[number]), color=_OUT, **place)
