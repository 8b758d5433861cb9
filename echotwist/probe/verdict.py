"""
Conditions under which a measurement has failed: ``loss>0.1%``, ``p99>5ms`` (pure).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from attrs import frozen

#: Nanoseconds of each unit of time.
_TIMES = {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}
#: The units of each kind of metric, with their worth.
_UNITS: dict[str, dict[str, float]] = {
    "share": {"%": 0.01},
    "count": {"": 1.0},
    "time": _TIMES,
}
#: The form of a limit of each kind, with an example.
_LIMITS = {
    "share": ("is in %", "1%"),
    "count": ("is a number without a unit", "10"),
    "time": (f"has one of the units {', '.join(_TIMES)}", "5ms"),
}

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}

#: The largest value of each kind. The smallest is 0, except for differences of two clocks.
_LARGEST = {"share": 1.0, "count": inf, "time": inf}
_OF_TWO_CLOCKS = ("thereNs", "backNs")

#: The kind of each metric, and its place in a result.
Metrics = dict[str, tuple[str, tuple[str, ...]]]

#: The metrics of any measurement.
COMMON: Metrics = {
    "loss": ("share", ("lost", "share")),
    "sent": ("count", ("sent",)),
    "back": ("count", ("back",)),
    "lost": ("count", ("lost", "count")),
    "never-left": ("count", ("lost", "neverLeft", "count")),
    "unanswered": ("count", ("lost", "unanswered")),
    "reported": ("count", ("lost", "reported", "count")),
    "damaged": ("count", ("damaged",)),
    "twice": ("count", ("twice",)),
    "late": ("count", ("late",)),
    "reordered": ("count", ("reordered", "count")),
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
}

#: The metrics of measurements that send probes on time.
METRICS: Metrics = {
    **COMMON,
    "run": ("count", ("lost", "runs", "longest")),
    "extent": ("count", ("reordered", "extentMax")),
    "jitter": ("time", ("jitterNs",)),
    "lateness": ("time", ("latenessNs", "p99")),
    **{f"ipdv-{key}": ("time", ("ipdvNs", key)) for key in ("mean", "median", "p99", "max")},
}

_GRAMMAR = re.compile(r"\s*([\w.-]+)\s*(>=|<=|==|!=|>|<)\s*([0-9]+(?:\.[0-9]+)?)\s*(\S*)\s*")


@frozen
class Verdict:
    """
    A condition under which a measurement has failed.

    :param text: the condition as the user wrote it.
    :param path: the place of the value in a result.
    :param kind: the kind of value: ``share``, ``count`` or ``time``.
    :param fails: compares the value with the limit.
    :param limit: the limit: nanoseconds, a share of 1, or a count.
    """

    text: str
    path: tuple[str, ...]
    kind: str
    fails: Callable[[Any, Any], bool]
    limit: float

    def judge(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """
        Judge one result.

        A missing value, such as a time when no reply came, fails.

        :return: whether the condition held, and the value.
        """
        value: Any = result
        for key in self.path:
            value = None if value is None else value[key]
        held = value is not None and not self.fails(value, self.limit)
        target, kind = result.get("name", result["target"]), self.kind
        return {"failIf": self.text, "target": target, "kind": kind, "value": value, "held": held}


def verdictOf(text: str, metrics: Metrics = METRICS) -> Verdict:
    """
    Parse a condition.

    :param metrics: the metrics that it may name.
    :raise ValueError: the text is not a condition; the error lists what is possible.
    """
    found = _GRAMMAR.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text!r}: a condition is a name, one of {', '.join(_OPERATORS)}, and a limit, "
            f"as in loss>0.1%, p99>5ms or damaged>0; {_possible(metrics)}"
        )
    metric, sign, figures, unit = found.groups()
    if metric not in metrics:
        raise ValueError(f"{text!r}: {metric} is not measured; {_possible(metrics)}")
    kind, path = metrics[metric]
    if unit not in _UNITS[kind]:
        wanted, example = _LIMITS[kind]
        raise ValueError(f"{text!r}: a limit of {metric} {wanted}, as in {metric}{sign}{example}")
    # A share is the quotient of two whole numbers: compute the limit in the same way.
    limit = float(figures) / 100 if kind == "share" else float(figures) * _UNITS[kind][unit]
    verdict = Verdict(text, path, kind, _OPERATORS[sign], limit)
    if how := _foregone(verdict):
        bounds = "is from 0 to 100 %" if kind == "share" else "is never below 0"
        raise ValueError(f"{text!r}: {how} true, as {metric} {bounds}")
    return verdict


def _foregone(verdict: Verdict) -> str:
    """
    Tell whether a condition is always or never true, whatever the result.
    """
    least, most = (-inf if verdict.path[0] in _OF_TWO_CLOCKS else 0), _LARGEST[verdict.kind]
    limit = verdict.limit
    fails = [verdict.fails(one, limit) for one in (least, min(most, max(least, limit)), most)]
    if not any(fails):
        return "never"
    return "always" if all(fails) else ""


def _possible(metrics: Metrics) -> str:
    """
    List the metrics that a condition may name.
    """
    names = {kind: [name for name in metrics if metrics[name][0] == kind] for kind in _UNITS}
    units = {kind: ", ".join(filter(None, _UNITS[kind])) for kind in _UNITS}
    return "; ".join(
        f"{kind}s{units[kind] and f' ({units[kind]})'}: {', '.join(names[kind])}" for kind in names
    )
