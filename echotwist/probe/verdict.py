"""
What makes a measurement a failure: ``loss>0.1%``, ``p99>5ms`` (pure).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

#: Nanoseconds, of each unit of time.
_TIMES = {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}
#: The units of what is measured, and what each is worth.
_UNITS: dict[str, dict[str, float]] = {
    "time": _TIMES,
    "share": {"%": 0.01},
    "count": {"": 1.0},
}

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}

#: What may be judged: what it is, and where in a result it is found.
METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "loss": ("share", ("lost", "share")),
    "sent": ("count", ("sent",)),
    "back": ("count", ("back",)),
    "lost": ("count", ("lost", "count")),
    "never-left": ("count", ("lost", "neverLeft", "count")),
    "unanswered": ("count", ("lost", "unanswered")),
    "reported": ("count", ("lost", "reported", "count")),
    "run": ("count", ("lost", "runs", "longest")),
    "damaged": ("count", ("damaged",)),
    "twice": ("count", ("twice",)),
    "late": ("count", ("late",)),
    "reordered": ("count", ("reordered", "count")),
    "extent": ("count", ("reordered", "extentMax")),
    "jitter": ("time", ("jitterNs",)),
    "lateness": ("time", ("latenessNs", "p99")),
    **{
        name: ("time", ("rttNs", key))
        for name, key in {
            "min": "min",
            "mean": "mean",
            "median": "median",
            "p50": "median",
            "p90": "p90",
            "p99": "p99",
            "p99.9": "p999",
            "max": "max",
        }.items()
    },
    **{f"ipdv-{key}": ("time", ("ipdvNs", key)) for key in ("mean", "median", "p99", "max")},
}

_GRAMMAR = re.compile(r"\s*([a-z0-9.-]+)\s*(>=|<=|==|!=|>|<)\s*([0-9]+(?:\.[0-9]+)?)\s*(\S*)\s*")


@frozen
class Verdict:
    """
    A condition under which a measurement has failed.

    :param text: as it was said.
    :param metric: a key of :data:`METRICS`.
    :param fails: compares a value with the limit.
    :param limit: in nanoseconds, in parts of 1, or a count.
    """

    text: str
    metric: str
    fails: Callable[[Any, Any], bool]
    limit: float

    def judge(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """
        Judge one result.

        A value that there is not, such as a time where nothing came back, fails.

        :return: whether it held, and the value.
        """
        value: Any = result
        for key in METRICS[self.metric][1]:
            value = None if value is None else value[key]
        held = value is not None and not self.fails(value, self.limit)
        return {"failIf": self.text, "target": result["target"], "value": value, "held": held}


def verdictOf(text: str) -> Verdict:
    """
    Read a condition.

    :raise ValueError: it is none; the text says why.
    """
    found = _GRAMMAR.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition, such as loss>0.1%, p99>5ms or damaged>0")
    metric, sign, figures, unit = found.groups()
    if metric not in METRICS:
        raise ValueError(f"{text!r}: {metric} is none of {', '.join(METRICS)}")
    kind = METRICS[metric][0]
    units = _UNITS[kind]
    if unit not in units:
        wanted = " or ".join(units) if "" not in units else "no unit"
        raise ValueError(f"{text!r}: {metric} takes {wanted}, not {unit or 'a bare number'}")
    # What is a share is itself the quotient of two whole numbers.
    limit = float(figures) / 100 if kind == "share" else float(figures) * units[unit]
    return Verdict(text, metric, _OPERATORS[sign], limit)
