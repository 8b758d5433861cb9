"""
The results of a watch as text for a person (pure): a line for each target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from echotwist.probe.text import lossLines, verdictLine

#: The figures of a target, with the widths of their columns.
_COLUMNS = {"sent": 8, "lost": 7, "%": 6, "late": 6, "median": 9, "p99": 9, "max": 9}

#: Nanoseconds of a millisecond.
_MS = 10**6

#: Columns of a name at most.
_WIDEST = 26


def textOf(found: Mapping[str, Any]) -> str:
    """
    Format all results; times are in milliseconds.
    """
    results = found["results"]
    width = min(_WIDEST, max(6, *(len(one["name"]) for one in results)))
    heads = "".join(f"{name:>{size}}" for name, size in _COLUMNS.items())
    lines = [f"{'target':{width}}{heads}"]
    for one in results:
        lines.append(f"{one['name']:{width}}{''.join(_figures(one))}".rstrip())
        lines.extend(_faults(one))
    return "\n".join([*lines, *map(verdictLine, found["verdicts"])])


def _figures(result: Mapping[str, Any]) -> Iterator[str]:
    lost, times = result["lost"], result["rttNs"]
    shown = {"sent": result["sent"], "lost": lost["count"], "late": result["late"]}
    shown["%"] = "" if lost["share"] is None else f"{100 * lost['share']:.3g}"
    for name, size in _COLUMNS.items():
        known = f"{times[name] / _MS:.3f}" if times and name in times else "-"
        yield f"{shown.get(name, known):>{size}}"


def _faults(result: Mapping[str, Any]) -> Iterator[str]:
    yield from lossLines(result["lost"])
    counts = {
        "damaged": result["damaged"],
        "twice": result["twice"],
        "out of order": result["reordered"]["count"],
        "to no probe of ours": result["strange"],
    }
    if said := ", ".join(f"{count} {name}" for name, count in counts.items() if count):
        yield f"  replies  {said}"
    yield from (f"  BEWARE: {fault}" for fault in result["tooSlow"])
