"""
The results of a measurement as text for a person (pure).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from echotwist.probe.glance import Glance
from echotwist.probe.schedule import SECOND

#: The largest value shown in each unit, the name of the unit, and its nanoseconds.
_UNITS = [(10**6, "µs", 10**3), (10**10, "ms", 10**6), (None, "s", 10**9)]

_CLOCKS = {"kernel": "the kernel's stamps", "user": "the clock of this process"}

_KEYS = {
    "min": "min",
    "mean": "mean",
    "median": "median",
    "p90": "p90",
    "p99": "p99",
    "p999": "p99.9",
    "max": "max",
}

#: Columns of the names of lines, of the names of a table, and of its values.
_WIDTH, _NAME, _COLUMN = 9, 14, 9

#: Nanoseconds of a millisecond.
_MS = 10**6


def textOf(found: Mapping[str, Any]) -> str:
    """
    Format all results.
    """
    return report(found, _result)


def report(found: Mapping[str, Any], linesOf: Callable[[Mapping[str, Any]], Iterator[str]]) -> str:
    """
    Format all results, then all verdicts.

    :param linesOf: formats one result.
    """
    blocks = ["\n".join(linesOf(one)) for one in found["results"]]
    if found["verdicts"]:
        blocks.append("\n".join(map(verdictLine, found["verdicts"])))
    return "\n\n".join(blocks)


def _result(result: Mapping[str, Any]) -> Iterator[str]:
    source = f" from {result['source']}" if result["source"] else ""
    rate = SECOND / result["intervalNs"]
    yield f"{result['target']} ({result['address']}){source}, {result['size']} bytes, {rate:g}/s"
    yield line("probes", counts(result))
    yield from lossLines(result["lost"])
    yield line("replies", replies(result))
    yield from damageLines(result)
    yield from _times(result)
    yield from (f"BEWARE: {fault}" for fault in result["tooSlow"])


def line(name: str, text: str) -> str:
    """
    Format a line with its name.
    """
    return f"  {name:{_WIDTH}}{text}"


def counts(result: Mapping[str, Any]) -> str:
    """
    Format how many probes were sent, came back and were lost.
    """
    lost = result["lost"]
    share = f" ({100 * lost['share']:.4g} %)" if lost["share"] else ""
    parts = [f"{result['sent']} sent", f"{result['back']} back", f"{lost['count']} lost{share}"]
    parts.append(f"{result['late']} late")
    if result["waiting"]:
        parts.append(f"{result['waiting']} still under way")
    return ", ".join(parts)


def replies(result: Mapping[str, Any]) -> str:
    """
    Format what is wrong with the replies.
    """
    parts = [f"{result['damaged']} damaged", f"{result['twice']} twice"]
    if "reordered" in result:
        order = result["reordered"]
        extent = f" (by up to {order['extentMax']})" if order.get("extentMax") else ""
        parts.append(f"{order['count']} out of order{extent}")
    if result["strange"]:
        parts.append(f"{result['strange']} to no probe of ours")
    return ", ".join(parts)


def lossLines(lost: Mapping[str, Any]) -> Iterator[str]:
    """
    Format the reasons of losses.
    """
    for one in lost["neverLeft"]["reasons"]:
        yield line("  lost", f"{one['count']} never left: {one['reason']}")
    for one in lost["reported"]["reasons"]:
        yield line("  lost", f"{one['count']} left; {one['reason']}")
    if lost["unanswered"]:
        yield line("  lost", f"{lost['unanswered']} left, unanswered")
    if lost["count"] and "runs" in lost:
        runs = lost["runs"]
        text = f"{runs['count']} of losses, mean {runs['mean']:.3g}, longest {runs['longest']}"
        yield line("  runs", text)


def damageLines(result: Mapping[str, Any]) -> Iterator[str]:
    """
    Format how replies were damaged, and whether the service echoes at all.
    """
    yield from _damage(result["damage"])
    yield from _echo(result)


def _damage(damage: Mapping[str, Any] | None) -> Iterator[str]:
    if damage is None:
        return
    for one in damage["patterns"][:5]:
        yield line("  damage", f"{one['count']} times {one['pattern']}")
    first = damage["first"]
    yield line("  first", f"probe {first['number']}, from bit {first['bit']} on")
    yield line("", f"sent {first['expected'] or '(nothing)'}")
    yield line("", f"got  {first['got'] or '(nothing)'}")
    if found := re.match("([0-9]+) bytes put before( each line)?", first["pattern"]):
        what = bytes.fromhex(first["got"])[: int(found[1])]
        more = "..." if int(found[1]) > len(what) else ""
        said = repr(what)[1:]
        yield line("", f"the service puts {said}{more} before{found[2] or ' the answer'}")


def _echo(result: Mapping[str, Any]) -> Iterator[str]:
    """
    Warn if no reply resembles an echo.
    """
    answered = result["back"] + result["late"]
    patterns = result["damage"]["patterns"] if result["damage"] else []
    areOther = [one["pattern"].endswith("many bits flipped") for one in patterns]
    isOther = result["damaged"] >= answered and areOther and all(areOther)
    if isOther or (result["strange"] and not answered):
        yield "  This is no echo: of no probe the bytes came back."


def _times(result: Mapping[str, Any]) -> Iterator[str]:
    rows = {
        f"RTT, {result['clock']}": result["rttNs"],
        "RTT, user": result["userRttNs"],
        "acknowledged": result["ackNs"],
        "IPDV": result["ipdvNs"],
        **{f"here: {name}": values for name, values in result["hostNs"].items()},
        "sent late": result["latenessNs"],
    }
    if result["rttNs"] is None:
        return
    yield from table(rows)
    clock = f"RTT by {_CLOCKS[result['clock']]}"
    if result["jitterNs"] is not None:
        clock += f"; jitter (RFC 3550) {result['jitterNs'] / _MS:.3f} ms"
    yield f"  {clock}"


def table(rows: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
    """
    Format times in milliseconds.
    """
    yield "  " + f"{'ms':{_NAME}}" + "".join(f"{name:>{_COLUMN}}" for name in _KEYS.values())
    for name, values in rows.items():
        if values:
            figures = (f"{values[key] / _MS:{_COLUMN}.3f}" for key in _KEYS)
            yield f"  {name:{_NAME}}{''.join(figures)}"


def _timeText(value: float) -> str:
    _, unit, worth = next(one for one in _UNITS if one[0] is None or value < one[0])
    return f"{value / worth:.3f} {unit}"


def verdictLine(verdict: Mapping[str, Any]) -> str:
    """
    Format the verdict of a condition.
    """
    word = "held  " if verdict["held"] else "FAILED"
    value, kind = verdict["value"], verdict["kind"]
    if value is None:
        said = "nothing to judge"
    elif kind == "time":
        said = _timeText(value)
    else:
        said = f"{100 * value:.4g} %" if kind == "share" else str(value)
    return f"{word} {verdict['target']}: {verdict['failIf']}: {said}"


def liveText(glances: Iterable[Glance]) -> str:
    """
    Format the state of all targets in one line.
    """
    return " | ".join(
        ", ".join([f"{one.name} {one.counts}", *one.faults, *_last(one)]) for one in glances
    )


def _last(glance: Glance) -> list[str]:
    return [f"last {_timeText(one)}" for one in glance.exchange.rtt.recent[-1:]]
