"""
The results of a comparison of source ports as plain values (pure): ``schema.json``
describes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from echotwist.probe.distribution import Distribution
from echotwist.probe.paths.bundle import Bundle
from echotwist.probe.paths.outliers import ALPHA, Finding, Loss, leastLoss, lossy, shareOf, slow
from echotwist.probe.result import faultsOf, lossesIn, reasonsOf, spread
from echotwist.probe.session import Session
from echotwist.probe.verdict import COMMON, Metrics

#: The metrics that a condition may name.
METRICS: Metrics = {
    **COMMON,
    "outliers": ("count", ("outliers",)),
    "lossy": ("count", ("lossy",)),
    "slow": ("count", ("slow",)),
    "worst-loss": ("share", ("worst",)),
}


def resultOf(bundle: Bundle, about: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the present result of one target.

    :param about: the description of the measurement: the target and the like.
    """
    sessions = bundle.sessions
    losses = [lossesIn(one.books) for one in sessions]
    parts = [
        Loss(one.books.sent - one.books.pending, lost["count"])
        for one, lost in zip(sessions, losses, strict=True)
    ]
    rounds = bundle.times.rounds()
    columns = [[one for one in column if one is not None] for column in zip(*rounds, strict=True)]
    ports = [
        _port(*one)
        for one in zip(sessions, parts, losses, columns, lossy(parts), slow(rounds), strict=True)
    ]
    ports.sort(key=lambda one: one["port"] or 0)
    least = leastLoss(parts)
    outliers = sum(bool(one["isLossy"] or one["differs"]) for one in ports)
    return {
        **about,
        "ports": len(ports),
        "beganNs": min((one.began for one in sessions if one.began), default=0),
        "endedNs": max(one.ended for one in sessions),
        "sent": sum(one.books.sent for one in sessions),
        "waiting": sum(one.books.pending for one in sessions),
        "back": sum(one.books.back for one in sessions),
        "late": sum(one.books.late for one in sessions),
        "damaged": sum(one.damaged for one in sessions),
        "twice": sum(one.books.twice for one in sessions),
        "strange": sum(one.strange for one in sessions),
        "lost": _lossesOf(losses, parts),
        "clock": bundle.times.clock,
        "rttNs": spread(_joined(columns)),
        "alpha": ALPHA,
        "outliers": outliers,
        "lossy": sum(one["isLossy"] for one in ports),
        "slow": sum(one["differs"] == "slow" for one in ports),
        "fast": sum(one["differs"] == "fast" for one in ports),
        "worst": max((one["share"] for one in ports if one["share"] is not None), default=None),
        "leastLoss": None if least is None else {"sent": least.sent, "lost": least.lost},
        "pathShare": _pathShare(outliers, len(ports)),
        "byPort": ports,
        **_ourselves(sessions),
    }


def _port(
    session: Session,
    part: Loss,
    lost: Mapping[str, Any],
    times: Sequence[int],
    loss: Finding,
    time: Finding,
) -> dict[str, Any]:
    source = session.transport.source
    return {
        "port": source[1] if source else None,
        "sent": session.books.sent,
        "back": session.books.back,
        "late": session.books.late,
        "lost": part.lost,
        "share": part.lost / part.sent if part.sent else None,
        "lossChance": loss.chance,
        "isLossy": bool(loss.sign),
        "rttNs": spread(_joined([times])),
        "rttChance": time.chance,
        "differs": {1: "slow", -1: "fast", 0: None}[time.sign],
        "differenceNs": round(time.difference),
        "reasons": [*lost["neverLeft"]["reasons"], *lost["reported"]["reasons"]],
    }


def _joined(columns: Iterable[Iterable[int]]) -> Distribution:
    values = Distribution()
    for column in columns:
        for value in column:
            values.add(value)
    return values


def _lossesOf(losses: Sequence[Mapping[str, Any]], parts: Sequence[Loss]) -> dict[str, Any]:
    """
    Sum the losses of all ports.
    """
    sent, lost = sum(one.sent for one in parts), sum(one.lost for one in parts)
    counted: dict[str, Counter[str]] = {"neverLeft": Counter(), "reported": Counter()}
    for one in losses:
        for name, counter in counted.items():
            for reason in one[name]["reasons"]:
                counter[reason["reason"]] += reason["count"]
    return {
        "count": lost,
        "share": lost / sent if sent else None,
        **{name: reasonsOf(counter) for name, counter in counted.items()},
        "unanswered": sum(one["unanswered"] for one in losses),
    }


def _pathShare(outliers: int, ports: int) -> dict[str, float] | None:
    if not outliers:
        return None
    low, high = shareOf(outliers, ports)
    return {"least": low, "most": min(1.0, high)}


def _ourselves(sessions: Sequence[Session]) -> dict[str, Any]:
    """
    Report how exact the probe itself was.
    """
    skipped = sum(one.schedule.skipped for one in sessions)
    dropped = sum(one.dropped for one in sessions)
    stepped = sum(one.stepped for one in sessions)
    lateness, interval = sessions[0].lateness, sessions[0].schedule.interval
    return {
        "latenessNs": spread(lateness),
        "skipped": skipped,
        "droppedHere": dropped,
        "clockStepped": stepped,
        "tooSlow": list(faultsOf(skipped, lateness, interval, dropped, stepped)),
    }
