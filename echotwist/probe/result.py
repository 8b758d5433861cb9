"""
The results of a measurement as plain values (pure): ``schema.json`` describes them.

All times are nanoseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from echotwist.probe.distribution import Distribution
from echotwist.probe.exchange import Exchange
from echotwist.probe.ledger import Ledger
from echotwist.probe.schedule import SECOND
from echotwist.probe.session import Session
from echotwist.probe.tally import Runs, Times
from echotwist.probe.verdict import Verdict

#: The version of the report of ``--json``; it changes when a value disappears or changes its
#: meaning, not when a value is added.
VERSION = 1

#: Exit statuses: all conditions held; one failed; a mistake in the command; no reply came;
#: the probe itself was too slow.
HELD, FAILED, USAGE, SILENCE, TOO_SLOW = range(5)

#: The share of replies that need kernel timestamps before these are used.
_STAMPED = 0.95

#: Nanoseconds by which 99 of 100 probes may be sent late: this, or the interval of probes if
#: that is longer.
_LATE = SECOND // 100

_SHARES = {"median": 50, "p90": 90, "p99": 99, "p999": 99.9}


def spread(values: Distribution) -> dict[str, Any] | None:
    """
    Summarize many values; ``None`` if there are none.
    """
    if not values.count:
        return None
    shares = dict(zip(_SHARES, values.percentiles(*_SHARES.values()), strict=True))
    ends = {"min": values.least, "max": values.most}
    return {"count": values.count, "mean": values.mean, **ends, **shares}


def resultOf(session: Session, about: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the present result of one target.

    :param about: the description of the measurement: the target and the like.
    """
    books = session.books
    times, clock = best(books.user, books.kernel)
    received = books.back + books.late
    host = session.host
    return {
        **about,
        "beganNs": session.began,
        "endedNs": session.ended,
        "sent": books.sent,
        "waiting": books.pending,
        "back": books.back,
        "late": books.late,
        "damaged": session.damaged,
        "twice": books.twice,
        "strange": session.strange,
        "lost": {**lossesIn(books), "runs": _runs(books.losses().runs)},
        "reordered": {
            "count": books.reordered,
            "share": books.reordered / received if received else None,
            "extentMean": books.extents.mean,
            "extentMax": books.extents.most or 0,
        },
        "damage": damageIn(session),
        "clock": clock,
        "rttNs": spread(times.rtt),
        "ipdvNs": spread(times.ipdv),
        "jitterNs": round(times.jitter) if times.rtt.count > 1 else None,
        "userRttNs": spread(books.user.rtt),
        "hostNs": {
            "send": spread(host.send),
            "queue": spread(host.queue),
            "receive": spread(host.receive),
        },
        "ackNs": spread(host.ack),
        "latenessNs": spread(session.lateness),
        "skipped": session.schedule.skipped,
        "droppedHere": session.dropped,
        "clockStepped": session.stepped,
        "tooSlow": list(
            faultsOf(
                session.schedule.skipped,
                session.lateness,
                session.schedule.interval,
                session.dropped,
                session.stepped,
            )
        ),
    }


def best(user: Times, kernel: Times) -> tuple[Times, str]:
    """
    Choose the clock whose round trips are reported, and name it.
    """
    isKernel = kernel.rtt.count and kernel.rtt.count >= _STAMPED * user.rtt.count
    return (kernel, "kernel") if isKernel else (user, "user")


def lossesIn(books: Ledger) -> dict[str, Any]:
    """
    Summarize the losses.
    """
    losses, settled = books.losses(), books.sent - books.pending
    count = losses.runs.lost
    return {
        "count": count,
        "share": count / settled if settled else None,
        "neverLeft": reasonsOf(losses.neverLeft),
        "reported": reasonsOf(losses.reported),
        "unanswered": losses.unanswered,
    }


def _runs(runs: Runs) -> dict[str, Any]:
    mean = runs.lost / runs.count if runs.count else None
    return {"count": runs.count, "longest": runs.longest, "mean": mean}


def reasonsOf(counted: Counter[str]) -> dict[str, Any]:
    """
    Return reasons with their counts, the most frequent first.
    """
    reasons = [{"reason": reason, "count": count} for reason, count in counted.most_common()]
    return {"count": counted.total(), "reasons": reasons}


def damageIn(exchange: Exchange) -> dict[str, Any] | None:
    """
    Summarize damaged replies; ``None`` if there are none.
    """
    if exchange.firstDamage is None:
        return None
    number, first = exchange.firstDamage
    patterns = [{"pattern": one, "count": n} for one, n in exchange.patterns.most_common()]
    return {
        "patterns": patterns,
        "first": {
            "number": number,
            "bit": first.bit,
            "pattern": first.pattern,
            "expected": first.expected.hex(),
            "got": first.got.hex(),
        },
    }


def faultsOf(
    skipped: int, lateness: Distribution, interval: float, dropped: int, stepped: int
) -> Iterable[str]:
    """
    Report where the probe itself is less exact than what it measures.

    :param skipped: probes that were not sent, as they were too late.
    :param lateness: how late the other probes were sent, in nanoseconds.
    :param interval: nanoseconds from one probe to the next.
    :param dropped: replies that the kernel dropped for lack of room.
    :param stepped: probes during which somebody set the clock.
    """
    if skipped:
        yield f"{skipped} probes were not sent, as they were too late"
    [late] = lateness.percentiles(99)
    if late is not None and late > max(_LATE, interval):
        yield f"1 in 100 probes was sent {late / 1e6:.1f} ms late or more"
    if dropped:
        yield f"this host dropped {dropped} replies before they were read"
    if stepped:
        yield f"somebody set the clock during {stepped} probes"


def judge(results: Iterable[Mapping[str, Any]], verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """
    Judge all results together.

    :return: each verdict, and the exit status.
    """
    results = list(results)
    return conclude(results, [one.judge(result) for one in verdicts for result in results])


def conclude(
    results: Sequence[Mapping[str, Any]], judged: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """
    Return the verdicts and the exit status.

    :param judged: the verdict of each condition on each result.
    """
    isSilent = any(not result["back"] + result["late"] for result in results)
    isTooSlow = any(result["tooSlow"] for result in results)
    return {"verdicts": judged, "status": exitStatus(judged, isSilent, isTooSlow)}


def exitStatus(judged: Iterable[Mapping[str, Any]], isSilent: bool, isTooSlow: bool = False) -> int:
    """
    Return the exit status.

    :param judged: the verdict of each condition.
    :param isSilent: a service did not answer.
    :param isTooSlow: the probe was less exact than what it measured.
    """
    if isSilent:
        return SILENCE
    if isTooSlow:
        return TOO_SLOW
    return HELD if all(one["held"] for one in judged) else FAILED
