"""
The results of a load as plain values (pure): ``schema.json`` of the probe describes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from echotwist.probe.load.loop import ClosedLoop
from echotwist.probe.result import damageIn, lossesIn, reasonsOf, spread
from echotwist.probe.schedule import SECOND
from echotwist.probe.verdict import COMMON, Metrics

#: The metrics that a condition may name.
METRICS: Metrics = {
    **COMMON,
    "rate": ("count", ("throughput", "messages")),
    "ended": ("count", ("ended", "count")),
}


def resultOf(loop: ClosedLoop, about: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the present result of one target.

    :param about: the description of the measurement: the target and the like.
    """
    books, elapsed = loop.books, loop.elapsed
    answers, bytesOut, bytesIn = loop.carried
    return {
        **about,
        "beganNs": loop.began,
        "endedNs": loop.ended,
        "elapsedNs": elapsed,
        "sent": books.sent,
        "waiting": books.pending,
        "back": books.back,
        "late": books.late,
        "damaged": loop.damaged,
        "twice": books.twice,
        "strange": loop.strange,
        "lost": lossesIn(books),
        "reordered": {"count": loop.reordered},
        "damage": damageIn(loop),
        "connected": loop.connected,
        "ended": reasonsOf(loop.endings),
        "throughput": {
            name: count * SECOND / elapsed if elapsed else 0.0
            for name, count in {
                "messages": answers,
                "bytesOut": bytesOut,
                "bytesIn": bytesIn,
            }.items()
        },
        "clock": "user",
        "rttNs": spread(loop.rtt),
        "droppedHere": loop.dropped,
        "tooSlow": (
            [f"this host dropped {loop.dropped} replies before they were read"]
            if loop.dropped
            else []
        ),
    }
