"""
Draw a search for the longest silence: each flow, and when its outcome was known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from echotwist.probe.schedule import SECOND

#: Colours of flows that survived, and of flows that ended.
_SURVIVED, _ENDED = "#1f5fa8", "#c8102e"


def draw(results: Sequence[Mapping[str, Any]], figure: Any) -> None:
    """
    Draw all searches, one above the other.
    """
    rows = figure.subplots(len(results), 1, squeeze=False)
    for [axes], result in zip(rows, results, strict=True):
        _drawSearch(axes, result)


def _drawSearch(axes: Any, result: Mapping[str, Any]) -> None:
    axes.set_title(f"{result['target']}, {result['mode']}", loc="left")
    trials, began = result["trials"], result["beganNs"]
    for isEnd, mark, colour, label in (
        (False, "o", _SURVIVED, "survived"),
        (True, "x", _ENDED, "ended"),
    ):
        found = [one for one in trials if (one["ending"] is not None) == isEnd]
        times = [(one["settledNs"] - began) / SECOND for one in found]
        axes.plot(times, [one["silenceNs"] / SECOND for one in found], mark, c=colour, label=label)
    for key, colour in (("survivedNs", _SURVIVED), ("endedNs", _ENDED)):
        if result[key]:
            axes.axhline(result[key] / SECOND, c=colour, lw=0.8, ls=":")
    axes.set_yscale("log")
    axes.set_xlabel("seconds of the search")
    axes.set_ylabel("seconds of silence")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8, framealpha=0.8)
