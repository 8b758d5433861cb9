"""
The metrics of a watch: of each target, and of the probe itself.

Needs the extra ``echotwist[metrics]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector

from echotwist.probe.schedule import SECOND
from echotwist.probe.watch.exposition import Family, Labels
from echotwist.probe.watch.histogram import Histogram
from echotwist.probe.watch.watch import Watch
from echotwist.probe.watch.watched import CAUSES, Watched

#: How many targets to write before the reactor may send probes.
_AT_ONCE = 10

#: Counters of a target, and how to read each.
_COUNTERS: dict[Family, Callable[[Watched], float]] = {
    Family(f"echoprobe_{name}_total", "counter", text): value
    for name, text, value in (
        (
            "sent",
            "Probes, including those that never left.",
            lambda one: one.books.sent,
        ),
        (
            "received",
            "First replies, in time or late.",
            lambda one: one.books.back + one.books.late,
        ),
        (
            "late",
            "Replies after the timeout; their probes stay counted as lost.",
            lambda one: one.books.late,
        ),
        ("duplicates", "Replies beyond the first.", lambda one: one.books.twice),
        (
            "reordered",
            "Replies that came after the reply to a later probe (RFC 4737).",
            lambda one: one.books.reordered,
        ),
        ("damaged", "Replies with other bytes than the probe.", lambda one: one.damaged),
        ("strange", "Replies that match no known probe.", lambda one: one.strange),
        (
            "skipped",
            "Probes that were not sent, as they were too late.",
            lambda one: one.schedule.skipped,
        ),
        (
            "user_timed",
            "Round trips without kernel timestamps, timed by the clock of the process.",
            lambda one: one.byUser,
        ),
        (
            "clock_steps",
            "Probes during which somebody set the clock of this host.",
            lambda one: one.stepped,
        ),
    )
}

_LOST = Family("echoprobe_lost_total", "counter", "Probes without a reply in time, by cause.")
_UNDER_WAY = Family("echoprobe_under_way", "gauge", "Probes without a reply yet.")
_REPLIED = Family(
    "echoprobe_last_reply_timestamp_seconds", "gauge", "When the latest reply came; 0: never."
)
_RTT = Family("echoprobe_rtt_seconds", "histogram", "Round trips of replies in time.")

_LATE = Family(
    "echoprobe_lateness_seconds",
    "histogram",
    "How late the probe sent, compared with its schedule.",
)
_DROPPED = Family(
    "echoprobe_dropped_here_total", "counter", "Replies this host had no room for (shared sockets)."
)
_STRANGERS = Family(
    "echoprobe_strangers_total", "counter", "Datagrams that came from no target (shared sockets)."
)
_TARGETS = Family("echoprobe_targets", "gauge", "Targets watched now.")
_RELOADS = Family("echoprobe_reloads_total", "counter", "How often the file was read again.")
_GOOD = Family(
    "echoprobe_last_reload_successful", "gauge", "Whether the latest reading of the file succeeded."
)


def fill(watch: Watch, page: Any) -> Iterator[None]:
    """
    Write all metrics; at each pause the reactor may send probes.

    :param page: receives them; see :mod:`echotwist.probe.watch.exposition`.
    """
    _aboutProbe(watch, page)
    for number, one in enumerate(list(watch.watched.values())):
        if number % _AT_ONCE == 0:
            yield
        _aboutTarget(one, page)
    _aboutProcess(page)


def _aboutTarget(one: Watched, page: Any) -> None:
    labels: Labels = (("name", one.entry.name), ("target", str(one.entry.target)))
    for family, value in _COUNTERS.items():
        page.add(family, labels, value(one))
    for state, cause in CAUSES.items():
        page.add(_LOST, (*labels, ("cause", cause)), one.lostBy[state])
    page.add(_UNDER_WAY, labels, one.books.pending)
    page.add(_REPLIED, labels, one.repliedAt / SECOND)
    page.add(_RTT, labels, one.roundTrips)


def _aboutProbe(watch: Watch, page: Any) -> None:
    singles: dict[Family, float | Histogram] = {
        _LATE: watch.here.lateness.histogram,
        _DROPPED: watch.sockets.dropped,
        _STRANGERS: watch.sockets.strangers,
        _TARGETS: len(watch.watched),
        _GOOD: int(watch.isFileGood),
    }
    for family, value in singles.items():
        page.add(family, (), value)
    for result in ("done", "failed"):
        page.add(_RELOADS, (("result", result),), watch.reloads[result])


def _aboutProcess(page: Any) -> None:
    """
    Write the resources that the process uses, as far as the system reports them.
    """
    registry = CollectorRegistry()
    for metric in ProcessCollector(registry=registry).collect():
        suffix = "_total" if metric.type == "counter" else ""
        family = Family(f"{metric.name}{suffix}", metric.type, metric.documentation)
        for sample in metric.samples:
            if sample.name == family.name:
                page.add(family, (), sample.value)
