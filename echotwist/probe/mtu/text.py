"""
The results of a search for the MTU as text for a person (pure).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from echotwist.probe.schedule import SECOND
from echotwist.probe.text import line, report

#: Nanoseconds of a millisecond.
_MS = 10**6

_STATES = {True: "pass", False: "do not pass", None: "unknown"}

_HOLES = {
    "there": "on the way there",
    "back": "on the way back",
    "both": "on both ways",
    "unknown": "on the way there or back",
}


def textOf(found: Mapping[str, Any]) -> str:
    """
    Format all results.
    """
    return report(found, _result)


def _result(result: Mapping[str, Any]) -> Iterator[str]:
    source = f" from {result['source']}" if result["source"] else ""
    largest = f", sends up to {result['interface']}" if result["interface"] else ""
    yield f"{result['target']} ({result['address']}){source}, IPv{result['family']}{largest}"
    if result["mtu"] is not None:
        yield line("MTU", f"{result['mtu']}, room for segments of {result['mss']} (MSS)")
    if result["mtuThere"]["least"]:
        yield line("there", _there(result))
        yield line("back", _back(result["mtuBack"]))
    if result["hole"]:
        yield line("hole", f"larger packets vanish without a word, {_HOLES[result['hole']]}")
    yield from _segments(result["segments"])
    if result["kind"] == "udp" and result["back"]:
        yield line("pieces", _fragments(result["fragments"]))
    yield line("sent", _sent(result))
    for one in result["reasons"]:
        yield line("", f"{one['count']} {one['reason']}")
    for one in result["cannotTell"]:
        yield line("unknown", one)
    yield from (f"BEWARE: {fault}" for fault in result["tooSlow"])


def _bounds(way: Mapping[str, Any]) -> str:
    least, most = way["least"], way["most"]
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def _there(result: Mapping[str, Any]) -> str:
    way = result["mtuThere"]
    text = {
        "icmp": way["reason"] or "as ICMP told this host",
        "interface": "as much as this host sends",
        "peer": "as much as the two ends have agreed on",
        "black hole": f"{(way['most'] or 0) + 1} vanishes",
        "unknown": "",
    }[way["why"]]
    return f"{_bounds(way)}: {text}" if text else _bounds(way)


def _back(way: Mapping[str, Any]) -> str:
    if not way["least"]:
        return "nothing is known"
    if way["pieces"]:
        return f"{_bounds(way)}: larger replies come in fragments of {way['pieces']}"
    if way["most"] is not None:
        return f"{_bounds(way)}: {way['most'] + 1} vanishes"
    return _bounds(way)


def _fragments(found: Mapping[str, Any]) -> str:
    ways = {"there": found["there"], "back": found["back"]}
    if found["router"] is not None:
        ways["made by a router"] = found["router"]
    return "fragments " + ", ".join(f"{name}: {_STATES[passes]}" for name, passes in ways.items())


def _segments(found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is None:
        return
    parts = [f"{found['agreed']} agreed there", f"{found['announced']} announced for the way back"]
    if found["used"] is not None:
        parts += [f"{found['used']} used there", f"{found['received']} came"]
    yield line("MSS", ", ".join(parts))


def _sent(result: Mapping[str, Any]) -> str:
    what = "packets" if result["kind"] == "udp" else "connections"
    counts = [f"{result['sent']} {what}", f"{result['unanswered']} unanswered"]
    counts += [f"{result[name]} {name}" for name in ("late", "damaged") if result[name]]
    took = (result["endedNs"] - result["beganNs"]) / _MS
    spent = f"{took:.1f} ms" if took < SECOND / _MS else f"{took * _MS / SECOND:.2f} s"
    return f"{', '.join(counts)}, in {spent}"
