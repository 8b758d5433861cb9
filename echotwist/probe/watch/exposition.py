"""
Write metrics in the formats that Prometheus reads (pure).

The `text format <https://prometheus.io/docs/instrumenting/exposition_formats/>`_ has only
classic histograms.  The format of :mod:`echotwist.probe.watch.protobuf` has native ones as
well; Prometheus gets it on request.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

from echotwist.probe.schedule import SECOND
from echotwist.probe.watch.histogram import BOUNDS, Histogram

#: The names and values of labels.
Labels = tuple[tuple[str, str], ...]


class Family(NamedTuple):
    """
    The description of a group of series.

    :param name: their common name.
    :param kind: ``counter``, ``gauge`` or ``histogram``.
    :param help: their meaning, in one line.
    """

    name: str
    kind: str
    help: str


#: The upper bounds of classic buckets, in seconds, as the page shows them.
_LIMITS = [*(f"{bound / SECOND:g}" for bound in BOUNDS), "+Inf"]


class Text:
    """
    Write series in the text format.
    """

    contentType = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._lines: dict[Family, list[str]] = {}

    def add(self, family: Family, labels: Labels, value: float | Histogram) -> None:
        """
        Add one series.
        """
        lines = self._lines.setdefault(family, [])
        said = _labelText(labels)
        if isinstance(value, Histogram):
            lines.extend(_histogram(family.name, said, value))
        else:
            lines.append(f"{family.name}{_braces(said)} {_number(value)}\n")

    def finish(self) -> bytes:
        """
        Return the page.
        """
        parts: list[str] = []
        for family, lines in self._lines.items():
            parts.append(f"# HELP {family.name} {family.help}\n")
            parts.append(f"# TYPE {family.name} {family.kind}\n")
            parts.extend(lines)
        return "".join(parts).encode("utf-8", "backslashreplace")


def pageFor(accept: bytes) -> Any:
    """
    Begin a page in the format that the client prefers.

    :param accept: the value of its ``Accept`` field (RFC 9110, section 12.5.1).
    """
    from echotwist.probe.watch.protobuf import KIND, Protobuf

    weights = {b"": 0.0}
    for one in accept.split(b","):
        kind, *parameters = (part.strip() for part in one.split(b";"))
        said = [part[2:] for part in parameters if part.startswith(b"q=")]
        isOther = kind == KIND and b"proto=io.prometheus.client.MetricFamily" not in parameters
        with suppress(ValueError):
            weights[b"" if isOther else kind] = float(said[0]) if said else 1.0
    weight = weights.pop(KIND, 0.0)
    return Protobuf() if weight > 0 and weight >= max(weights.values()) else Text()


def _histogram(name: str, said: str, value: Histogram) -> Iterable[str]:
    value.settle()
    before = f"{said}," if said else ""
    count = 0
    for limit, more in zip(_LIMITS, value.wide, strict=True):
        count += more
        yield f'{name}_bucket{{{before}le="{limit}"}} {count}\n'
    yield f"{name}_sum{_braces(said)} {value.total / SECOND!r}\n"
    yield f"{name}_count{_braces(said)} {count}\n"


def _braces(said: str) -> str:
    return f"{{{said}}}" if said else ""


def _number(value: float) -> str:
    return "+Inf" if value == inf else repr(value)


@lru_cache(2**12)
def _labelText(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
