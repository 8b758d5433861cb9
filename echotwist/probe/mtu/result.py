"""
The results of a search for the MTU as plain values (pure): ``schema.json`` describes them.

All sizes are bytes of an IP packet with its header, except those of segments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from echotwist.probe.mtu.courier import ANSWERED, LARGEST, UNSENT, Trial
from echotwist.probe.mtu.path import BACK, THERE, DatagramPath
from echotwist.probe.mtu.stream import Flow, StreamPath
from echotwist.probe.verdict import Metrics

#: The metrics that a condition may name.
METRICS: Metrics = {
    "mtu": ("count", ("mtu",)),
    "mtu-there": ("count", ("mtuThere", "least")),
    "mtu-back": ("count", ("mtuBack", "least")),
    "mss": ("count", ("mss",)),
    "holes": ("count", ("holes",)),
    "fragments-lost": ("count", ("fragments", "lost")),
    "sent": ("count", ("sent",)),
    "unanswered": ("count", ("unanswered",)),
}

#: Bytes of the IP and TCP headers, by the version of IP.
_HEADERS = {4: 40, 6: 60}

#: Why no larger packet passes: ICMP said so; a router or host drops it without ICMP; this host
#: sends no larger one; the peer accepts no larger segments; unknown.
ICMP, HOLE, INTERFACE, PEER, OPEN = "icmp", "black hole", "interface", "peer", "unknown"


def datagramResult(path: DatagramPath, trials: Sequence[Trial], family: int) -> dict[str, Any]:
    """
    Return the result of a path of datagrams.

    :param family: 4 or 6.
    """
    there, back = _there(path), _back(path)
    ways = [way["least"] for way in (there, back)]
    fragments = {
        "router": path.router,
        "there": path.fragmentsThere,
        "back": path.fragmentsBack,
    }
    mtu = min(ways) if path.search.isExact else None
    counts = Counter(one.outcome for one in trials)
    late = sum(one.isLate for one in trials)
    return {
        "interface": path.most if path.most < LARGEST or path.search.passed else None,
        "mtu": mtu,
        "mss": None if mtu is None else mtu - _HEADERS[family],
        "mtuThere": there,
        "mtuBack": back,
        "hole": path.hole,
        "holes": int(path.hole is not None),
        "fragments": {
            **fragments,
            "lost": sum(passes is False for passes in fragments.values()),
        },
        "segments": None,
        "sent": len(trials) - counts[UNSENT],
        "back": counts[ANSWERED] - late,
        "late": late,
        "unanswered": counts["unanswered"],
        "damaged": sum(one.isDamaged for one in trials),
        "trials": [_trial(one) for one in trials],
        "cannotTell": list(_unknown(path)),
    }


def _there(path: DatagramPath) -> dict[str, Any]:
    search = path.search
    told = [one for one in path.refusals.values() if one.size in search.icmp]
    nearest = min(told, key=lambda one: search.icmp[one.size] or one.size, default=None)
    isTold = search.passed in search.icmp.values()  # Even if not for one byte more.
    isLimit = not search.isHole or path.hole == THERE or isTold
    if search.passed >= path.most:
        why = INTERFACE
    elif path.hole == THERE:
        why = HOLE
    else:
        why = ICMP if nearest and isLimit else OPEN
    most = search.above - 1 if isLimit and search.isExact else None
    return {
        "least": search.passed,
        "most": most,
        "why": why,
        "host": nearest.host if nearest else None,
        "reason": nearest.reason if nearest else None,
    }


def _back(path: DatagramPath) -> dict[str, Any]:
    back, isHole = path.back, path.hole == BACK
    most = path.search.above - 1 if isHole else back.most
    why = HOLE if isHole else "fragments" if back.pieces else OPEN
    return {"least": back.least, "most": most, "why": why, "pieces": back.pieces or None}


def _unknown(path: DatagramPath) -> Iterable[str]:
    """
    Say what cannot be measured on this path.
    """
    search, back = path.search, path.back
    if not search.passed:
        return
    if not search.isExact:
        yield f"too much is lost to tell more: {search.passed} passes, {search.above} seems not to"
    if path.hole == "unknown":
        yield (
            "which gets lost, the probe or its reply, as both are equally large: "
            f"{search.above} bytes"
        )
    if path.hole == BACK and _there(path)["most"] is None:
        yield f"whether more than {search.passed} passes on the way there: no reply comes back"
    if back.most is None and path.hole != BACK:
        yield f"whether more than {back.least} passes on the way back: no reply was larger"
    if back.pieces:
        yield "whether the service's host or a router fragments the replies"
    if path.fragmentsThere is None and path.fragmentsBack is None and path.most <= 65000:
        yield (
            "on which way fragments get lost, as the reply is fragmented, too; "
            "with CAP_NET_RAW the probe fragments datagrams whose replies come whole"
        )


def _trial(one: Trial) -> dict[str, Any]:
    how = one.how
    return {
        "number": one.number,
        "size": one.size,
        "isWhole": how.isWhole,
        "outcome": one.outcome,
        "tookNs": one.took,
        "returned": one.returned or None,
        "pieces": one.pieces or None,
        "mtu": one.mtu or None,
        "host": one.host or None,
        "reason": one.reason or None,
    }


def streamResult(path: StreamPath, family: int) -> dict[str, Any]:
    """
    Return the result of a path of streams.
    """
    flows, search, header = path.flows, path.search, _HEADERS[family]
    best = max((one for one in flows if one.isWhole), key=_carried, default=None)
    first = next((one for one in flows if one.before is not None), None)
    carried = _carried(best) + header if best and _carried(best) else None
    isKnown = carried is not None and (search is None or search.isExact)
    hole = path.hole
    return {
        "interface": None,
        "mtu": carried if isKnown else None,
        "mss": carried - header if isKnown and carried else None,
        "mtuThere": _streamThere(path, carried or 0),
        "mtuBack": _streamBack(path, best, header),
        "hole": hole,
        "holes": int(hole is not None),
        "fragments": {"router": None, "there": None, "back": None, "lost": 0},
        "segments": _segments(first, best),
        "sent": len(flows),
        "back": sum(one.isOpen for one in flows),
        "late": 0,
        "unanswered": sum(not one.isWhole for one in flows),
        "damaged": 0,
        "trials": [_flow(one, header) for one in flows],
        "cannotTell": list(_streamUnknown(path)),
    }


def _carried(flow: Flow) -> int:
    """
    Return the size of segments that the connection used in the end.
    """
    return flow.after.mss if flow.after else 0


def _streamThere(path: StreamPath, carried: int) -> dict[str, Any]:
    first, lost = path.flows[0], path.lostOn(THERE)
    wasTold = first.before and first.after and first.after.pmtu < first.before.pmtu
    # Acknowledged bytes have arrived, even if the reply is lost.
    least = max(carried, path.arrivedBy(BACK))
    most = least if path.search is None else None if lost is None else lost - 1
    why = HOLE if lost else OPEN if path.search else ICMP if wasTold else PEER
    return {"least": least, "most": most, "why": why, "host": None, "reason": None}


def _streamBack(path: StreamPath, best: Flow | None, header: int) -> dict[str, Any]:
    least = best.after.received + header if best and best.after else 0
    lost = path.lostOn(BACK)
    most, why = (lost - 1, HOLE) if lost else (None, OPEN)
    return {"least": least, "most": most, "why": why, "pieces": None}


def _segments(first: Flow | None, best: Flow | None) -> dict[str, Any] | None:
    if first is None or first.before is None:
        return None
    last = best.after if best and best.after else None
    return {
        "agreed": first.before.mss,
        "announced": first.before.announced,
        "used": last.mss if last else None,
        "received": last.received if last else None,
        "sentAgain": sum(one.after.again for one in [first, best] if one and one.after),
    }


def _flow(one: Flow, header: int) -> dict[str, Any]:
    size = one.size or (one.before.mss + header if one.before else 0)
    outcome = "answered" if one.isWhole else "unanswered" if one.isOpen else "unsent"
    return {
        "number": one.number,
        "size": size,
        "isWhole": True,
        "outcome": outcome,
        "tookNs": one.took,
        "returned": None,
        "pieces": None,
        "mtu": one.after.pmtu if one.after else None,
        "host": None,
        "reason": one.reason or None,
    }


def _streamUnknown(path: StreamPath) -> Iterable[str]:
    hole, search = path.hole, path.search
    if search is not None and not search.passed:
        yield f"what passes: full segments get lost even in packets of {search.least}"
    elif search is not None and not search.isExact:
        yield f"too much is lost to tell more: {search.passed} passes, {search.above} seems not to"
    if hole == THERE:
        yield "whether larger segments pass on the way back: none reached the service"
    if path.flows[0].isOpen and search is None:
        yield "whether more passes than the two ends have agreed on"
