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
    "share": {"%": 0.01},
    "count": {"": 1.0},
    "time": _TIMES,
}
#: What limits of each kind have, and one.
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

#: What may be judged: what it is, and where in a result it is found.
Metrics = dict[str, tuple[str, tuple[str, ...]]]

#: Of any measurement.
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

#: Of one in which probes are sent on time.
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

    :param text: as it was said.
    :param path: where in a result the value is found.
    :param kind: what it is: ``share``, ``count`` or ``time``.
    :param fails: compares a value with the limit.
    :param limit: in nanoseconds, in parts of 1, or a count.
    """

    text: str
    path: tuple[str, ...]
    kind: str
    fails: Callable[[Any, Any], bool]
    limit: float

    def judge(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """
        Judge one result.

        A value that there is not, such as a time where nothing came back, fails.

        :return: whether it held, and the value.
        """
        value: Any = result
        for key in self.path:
            value = None if value is None else value[key]
        held = value is not None and not self.fails(value, self.limit)
        target, kind = result.get("name", result["target"]), self.kind
        return {"failIf": self.text, "target": target, "kind": kind, "value": value, "held": held}


def verdictOf(text: str, metrics: Metrics = METRICS) -> Verdict:
    """
    Read a condition.

    :param metrics: what may be judged.
    :raise ValueError: it is none; the text says why, and what is possible.
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
    # What is a share is itself the quotient of two whole numbers.
    limit = float(figures) / 100 if kind == "share" else float(figures) * _UNITS[kind][unit]
    return Verdict(text, path, kind, _OPERATORS[sign], limit)


def _possible(metrics: Metrics) -> str:
    """
    List what may be judged.
    """
    names = {kind: [name for name in metrics if metrics[name][0] == kind] for kind in _UNITS}
    units = {kind: ", ".join(filter(None, _UNITS[kind])) for kind in _UNITS}
    return "; ".join(
        f"{kind}s{units[kind] and f' ({units[kind]})'}: {', '.join(names[kind])}" for kind in names
    )
