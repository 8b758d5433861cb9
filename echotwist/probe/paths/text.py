"""
The results of a comparison of source ports as text for a person (pure).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from echotwist.probe.schedule import SECOND
from echotwist.probe.text import counts, line, lossLines, replies, report

#: Nanoseconds of a millisecond.
_MS = 10**6

#: How many ports the text names at most; JSON has all.
_NAMED = 40

#: The columns of the table with their widths; and how many of them to show if no port
#: differs in its round trips.
_COLUMNS = {
    "port": 9,
    "lost": 14,
    "by chance": 11,
    "median ms": 12,
    "than others": 13,
    " by chance": 11,
}
_FEW = 4


def textOf(found: Mapping[str, Any]) -> str:
    """
    Format all results.
    """
    return report(found, _result)


def _result(result: Mapping[str, Any]) -> Iterator[str]:
    source = f" from {result['source']}" if result["source"] else ""
    rate = SECOND / result["intervalNs"]
    about = f"{result['ports']} ports, {result['size']} bytes, {rate:g}/s in all"
    yield f"{result['target']} ({result['address']}){source}, {about}"
    yield line("probes", counts(result))
    yield from lossLines(result["lost"])
    yield line("replies", replies(result))
    if not result["back"]:
        return
    yield line("ports", _ports(result))
    yield from _named(result)
    share = result["pathShare"]
    if share is not None:
        yield line(
            "share",
            f"a path that {_percent(share['least'])} to "
            f"{_percent(share['most'])} of all ports take",
        )
    yield line("power", _power(result))
    yield from (f"BEWARE: {fault}" for fault in result["tooSlow"])


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _ports(result: Mapping[str, Any]) -> str:
    kinds = {"lossy": "lose more", "slow": "are slower", "fast": "are faster"}
    parts = [f"{result[name]} {words}" for name, words in kinds.items() if result[name]]
    if not parts:
        return f"none of {result['ports']} stands out"
    return f"{result['outliers']} of {result['ports']} stand out: {', '.join(parts)}"


def _named(result: Mapping[str, Any]) -> Iterator[str]:
    """
    Write a table of the ports that stand out; its last line sums up the others.
    """
    ports = result["byPort"]
    named = [one for one in ports if one["isLossy"] or one["differs"]]
    if not named:
        return
    columns = list(_COLUMNS.items())[: None if any(one["differs"] for one in named) else _FEW]
    yield "  " + "".join(name.rjust(width) for name, width in columns)
    for one in named[:_NAMED]:
        yield f"  {one['port'] or '-':>9}{_lost(one)}{_chance(one['lossChance'])}{_time(one)}"
    if len(named) > _NAMED:
        yield f"  {'...':>9} and {len(named) - _NAMED} more"
    yield f"  {'others':>9}{_others([one for one in ports if one not in named])}"


def _lost(one: Mapping[str, Any]) -> str:
    share = f" ({_percent(one['share'])})" if one["share"] is not None else ""
    return f"{one['lost']}{share}".rjust(14)


def _chance(chance: float) -> str:
    return f"{chance:.1g}".rjust(11)


def _time(one: Mapping[str, Any]) -> str:
    if one["rttNs"] is None:
        return "-".rjust(12)
    median = f"{one['rttNs']['median'] / _MS:.3f}".rjust(12)
    if one["differs"] is None:
        return median
    return f"{median}{one['differenceNs'] / _MS:+13.3f}{_chance(one['rttChance'])}"


def _others(some: list[Mapping[str, Any]]) -> str:
    sent, lost = (sum(one[name] for one in some) for name in ("sent", "lost"))
    text = f"{lost} ({_percent(lost / sent)})" if sent else "-"
    medians = sorted(one["rttNs"]["median"] for one in some if one["rttNs"])
    middle = f"{medians[len(medians) // 2] / _MS:.3f}" if medians else "-"
    return f"{text:>14}{'':11}{middle:>12}"


def _power(result: Mapping[str, Any]) -> str:
    least = result["leastLoss"]
    if least is None:
        return "too few probes for any port to be named for its losses"
    return f"a port that loses {least['lost']} of {least['sent']} or more is named"
