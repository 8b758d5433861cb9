"""
Draw round trips and losses over time, and the distribution of round trips, into a file.

The points are thinned out, so that memory and file do not grow with the number of probes.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from echotwist.probe.distribution import Distribution, Memory
from echotwist.probe.drawing import Drawing
from echotwist.probe.events import Event

#: How many points of each kind to keep, at most; how many to draw one by one; and into how
#: many parts to divide the time if there are more.
_KEPT, _DRAWN, _PARTS = 2**15, 1000, 300

#: Colours of round trips, of late replies, and of losses.
_RTT, _LATE, _LOST = "#1f5fa8", "#e08a00", "#c8102e"

_MS, _SECOND = 10**6, 10**9


class Points:
    """
    Times and values, of which a smaller share is kept the more there are (pure).

    :ivar step: one of this many points is kept.
    """

    def __init__(self) -> None:
        self.at, self.values = array("q"), array("q")
        self.step = 1
        self.count = 0

    def add(self, at: int, value: int = 0) -> None:
        """
        Add a point.
        """
        if self.count % self.step == 0:
            self.at.append(at)
            self.values.append(value)
            if len(self.at) >= _KEPT:
                self.at, self.values = self.at[::2], self.values[::2]
                self.step *= 2
        self.count += 1


class Series:
    """
    The points of one target.
    """

    def __init__(self) -> None:
        self.back, self.late, self.lost = Points(), Points(), Points()
        self.spread = Distribution(Memory(exact=_KEPT))

    def add(self, event: Event) -> None:
        """
        Note the outcome of a probe.
        """
        if event.outcome == "lost":
            self.lost.add(event.sentAt)
        elif event.outcome == "late" and event.rtt is not None:
            self.late.add(event.sentAt, event.rtt)
        elif event.outcome == "back" and event.rtt is not None:
            self.back.add(event.sentAt, event.rtt)
            self.spread.add(event.rtt)


class Plot:
    """
    The plot of a measurement.

    :param path: see :class:`echotwist.probe.drawing.Drawing`.
    :raise ProbeError: matplotlib is missing, or the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._drawing = Drawing(path)
        self._series: dict[str, Series] = {}

    def observe(self, target: str, event: Event) -> None:
        """
        Note the outcome of a probe.
        """
        self._series.setdefault(target, Series()).add(event)

    def write(self, results: Sequence[Mapping[str, Any]]) -> None:
        """
        Draw all targets, and write the file.

        :param results: the results of a report.
        :raise WriteError: the file cannot be written.
        """
        self._drawing.save(results, self._draw)

    def _draw(self, results: Sequence[Mapping[str, Any]], figure: Any) -> None:
        axes = figure.subplots(len(results), 2, squeeze=False, width_ratios=(2.6, 1))
        for row, result in zip(axes, results, strict=True):
            series = self._series.get(_nameOf(result), Series())
            _drawTime(row[0], series, result)
            _drawSpread(row[1], series.spread)


def _nameOf(result: Mapping[str, Any]) -> str:
    return str(result.get("name", result["target"]))


def _drawTime(axes: Any, series: Series, result: Mapping[str, Any]) -> None:
    lost = result["lost"]
    axes.set_title(
        f"{_nameOf(result)}: {result['sent']:,} sent, {lost['count']:,} lost", loc="left"
    )
    began = result["beganNs"]
    back, late = series.back, series.late
    label = f"RTT by {'the kernel' if result['clock'] == 'kernel' else 'this process'}"
    if len(back.at) <= _DRAWN:
        axes.plot(_seconds(back, began), _ms(back.values), ".", ms=3, c=_RTT, label=label)
    else:
        _drawParts(axes, back, began, label)
    if late.at:
        axes.plot(_seconds(late, began), _ms(late.values), "v", ms=4, c=_LATE, label="late")
    if series.lost.at:
        places = sorted({round(at, 2) for at in _seconds(series.lost, began)})
        shown = places[:: 1 + len(places) // _DRAWN]
        axes.margins(y=0.15)
        # Marks at the upper edge, above all round trips.
        frame = axes.get_xaxis_transform()
        top = [0.96] * len(shown)
        axes.plot(shown, top, "|", ms=9, mew=1, c=_LOST, label="lost", transform=frame)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("ms")
    axes.grid(alpha=0.25)
    axes.legend(loc="upper right", fontsize=8, framealpha=0.8)


def _drawParts(axes: Any, points: Points, began: int, label: str) -> None:
    """
    Draw the smallest, the median and the largest round trip of each part of time.
    """
    first, last = points.at[0], points.at[-1]
    length = max(1, (last - first) // _PARTS + 1)
    parts: dict[int, list[int]] = {}
    for at, value in zip(points.at, points.values, strict=True):
        parts.setdefault((at - first) // length, []).append(value)
    found = sorted((number, sorted(values)) for number, values in parts.items())
    times = [(first - began + (number + 0.5) * length) / _SECOND for number, _ in found]
    ends = [[values[place] / _MS for _, values in found] for place in (0, -1)]
    middle = [values[len(values) // 2] / _MS for _, values in found]
    axes.fill_between(times, *ends, color=_RTT, alpha=0.25, lw=0, label=f"{label}, all")
    axes.plot(times, middle, c=_RTT, lw=1, label="median")


def _drawSpread(axes: Any, spread: Distribution) -> None:
    """
    Draw the cumulative distribution of round trips, and their histogram.
    """
    axes.set_title("share of RTT", loc="left")
    axes.set_xlabel("ms")
    axes.set_ylabel("%")
    axes.grid(alpha=0.25)
    if not spread.count:
        return
    shares = [step / 5 for step in range(501)]
    values = [(value or 0) / _MS for value in spread.percentiles(*shares)]
    counts, edges = _histogram(values)
    widths = [end - start for start, end in pairwise(edges)]
    axes.bar(edges[:-1], counts, widths, align="edge", color=_RTT, alpha=0.3, lw=0)
    axes.plot(values, shares, c=_RTT, lw=1.2, drawstyle="steps-post")
    for share in (50, 99):
        value = values[share * 5]
        axes.axvline(value, c="#555555", lw=0.7, ls=":")
        place = {"xytext": (-3, 3), "textcoords": "offset points", "fontsize": 8, "ha": "right"}
        axes.annotate(f"p{share} {value:.3g}", (value, 0.75 * share), **place)
    if values[-1] > 20 * max(values[0], 1e-6):
        axes.set_xscale("log")
    axes.set_ylim(0, 100)


def _histogram(values: list[float], parts: int = 40) -> tuple[list[float], list[float]]:
    """
    Count the values in each part, in percent of the fullest; the parts are equally wide on a
    logarithmic scale.
    """
    low, high = max(values[0], 1e-6), max(values[-1], values[0] * 1.001, 2e-6)
    ratio = (high / low) ** (1 / parts)
    edges = [low * ratio**number for number in range(parts + 1)]
    counts, place = [0] * parts, 0
    for value in values:
        while place < parts - 1 and value >= edges[place + 1]:
            place += 1
        counts[place] += 1
    most = max(counts)
    return [100 * count / most for count in counts], edges


def _seconds(points: Points, began: int) -> list[float]:
    return [(at - began) / _SECOND for at in points.at]


def _ms(values: Sequence[int]) -> list[float]:
    return [value / _MS for value in values]
