"""
The results of reading captures as plain values (pure): ``schema.json`` describes them.

All times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from echotwist.probe.distribution import Distribution
from echotwist.probe.explain.fates import End, Key, Passage
from echotwist.probe.result import spread
from echotwist.probe.verdict import Metrics

#: The metrics that a condition may name.
METRICS: Metrics = {
    "loss": ("share", ("lost", "share")),
    "sent": ("count", ("sent",)),
    "back": ("count", ("back",)),
    "lost": ("count", ("lost", "count")),
    "lost-there": ("count", ("lost", "there", "count")),
    "lost-back": ("count", ("lost", "back", "count")),
    "unanswered": ("count", ("lost", "unanswered", "count")),
    "twice": ("count", ("twice",)),
    **{
        f"{name}-{key}": ("time", (f"{name}Ns", key))
        for name in ("there", "back", "rtt")
        for key in ("min", "median", "p99", "max")
    },
}

#: Where a probe was seen no more: on its way there, at the service, on its way back; or,
#: with one capture, beyond where that was made.
PLACES = ("there", "unanswered", "back", "beyond")


def targetText(passage: Passage) -> str:
    """
    Format the destination of a probe.
    """
    return f"{passage.kind}:{endText(passage.service)}"


def endText(end: End) -> str:
    """
    Format an address with its port, or IP protocol.
    """
    host, number = end
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"


def resultsOf(
    near: Mapping[Key, Passage], far: Mapping[Key, Passage] | None
) -> Iterator[dict[str, Any]]:
    """
    Return the result of each service.

    :param near: the probes captured at the client's end, or in the only capture.
    :param far: the probes captured at the service's end.
    """
    groups: dict[str, list[Key]] = {}
    other = far or {}
    # Behind a NAT the service may have another address.
    names = {targetText(other[key]): targetText(near[key]) for key in near.keys() & other.keys()}
    for key in sorted({**near, **other}):
        target = targetText(near.get(key) or other[key])
        groups.setdefault(target if key in near else names.get(target, target), []).append(key)
    for target, keys in groups.items():
        yield _result(target, keys, near, far)


def _result(
    target: str, keys: list[Key], near: Mapping[Key, Passage], far: Mapping[Key, Passage] | None
) -> dict[str, Any]:
    places: dict[str, list[int]] = {name: [] for name in PLACES}
    counts = dict.fromkeys(("reached", "answered", "back", "twice", "unseen"), 0)
    times = {name: _Times() for name in ("there", "back", "rtt", "service")}
    for key in keys:
        here = near.get(key) or Passage("", ("", 0))
        there = None if far is None else far.get(key) or Passage("", ("", 0))
        counts["twice"] += _again(here, there)
        if (place := _place(here, there)) is not None:
            places[place].append(key[0])
        _count(counts, here, there)
        times["rtt"].add(here.there, here.back)
        if there is not None:
            times["there"].add(here.there, there.there)
            times["service"].add(there.there, there.back)
            times["back"].add(there.back, here.back)
    lost = sum(map(len, places.values()))
    return {
        "target": target,
        "kind": target.partition(":")[0],
        "sent": len(keys),
        "reached": None if far is None else counts["reached"],
        "answered": None if far is None else counts["answered"],
        "back": counts["back"],
        "lost": {
            "count": lost,
            "share": lost / len(keys),
            **{
                name: {"count": len(numbers), "numbers": numbers}
                for name, numbers in places.items()
            },
        },
        "twice": counts["twice"],
        "unseen": counts["unseen"],
        "alone": _alone(keys, near, near if far is None else far),
        **{f"{name}Ns": one.spread for name, one in times.items()},
    }


def _alone(
    keys: Iterable[Key], near: Mapping[Key, Passage], far: Mapping[Key, Passage]
) -> dict[str, int]:
    """
    Count the probes before the first that both captures have, and after the last: if they
    are more than losses explain, one capture may not have been running then.
    """
    order = sorted(keys, key=lambda one: one[1])
    runs = [
        (isBoth, len(list(some)))
        for isBoth, some in groupby(order, lambda key: key in near and key in far)
    ]
    usual = max((count for isBoth, count in runs[1:-1] if not isBoth), default=1)
    ends = [
        0 if isBoth or len(runs) == 1 or count <= 2 * usual else count
        for isBoth, count in (runs[0], runs[-1])
    ]
    return {"first": ends[0], "last": ends[1]}


class _Times:
    """
    How long it took from one place to another.
    """

    def __init__(self) -> None:
        self._values = Distribution()

    def add(self, began: int | None, ended: int | None) -> None:
        if began is not None and ended is not None:
            self._values.add(ended - began)

    @property
    def spread(self) -> dict[str, Any] | None:
        return spread(self._values)


def _again(here: Passage, there: Passage | None) -> int:
    """
    Count the second replies that came, or, if none came, the second probes that did.
    """
    return here.twice[1] or (there.twice[0] if there else 0)


def _seen(here: Passage, there: Passage | None) -> list[bool]:
    """
    Tell at which places a probe was seen, in their order.
    """
    ends = [here.there, *([there.there, there.back] if there else []), here.back]
    return [one is not None for one in ends]


def _place(here: Passage, there: Passage | None) -> str | None:
    """
    Tell where a probe was lost, if it was: what was seen at one place was at all before.
    """
    seen = _seen(here, there)
    if seen[-1]:
        return None
    if there is None:
        return "beyond"
    return "back" if seen[2] else "unanswered" if seen[1] else "there"


def _count(counts: dict[str, int], here: Passage, there: Passage | None) -> None:
    seen = _seen(here, there)
    last = max(place for place, isSeen in enumerate(seen) if isSeen)
    counts["unseen"] += not all(seen[: last + 1])
    counts["back"] += seen[-1]
    if there is not None:
        counts["reached"] += last >= 1
        counts["answered"] += last >= 2


def numbersText(numbers: Iterable[int], most: int = 10) -> str:
    """
    Write numbers that ascend, such as ``1-3, 7``.

    :param most: how many are told, or spans of them.
    """
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    texts = [str(one) if one == other else f"{one}-{other}" for one, other in spans[:most]]
    return ", ".join([*texts, *["..."] * (len(spans) > most)])
