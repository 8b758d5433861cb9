"""
The results of reading captures as text for a person (pure).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from echotwist.probe.explain.result import numbersText
from echotwist.probe.schedule import SECOND
from echotwist.probe.text import line, report, table

_ROLES = {"client": "the client's end", "service": "the service's end", None: "one place"}

#: Where a probe was lost, in words.
_LOST = {
    "there": "on the way there",
    "unanswered": "at the service, or in its host",
    "back": "on the way back",
    "beyond": "beyond this place, or not answered",
}


def textOf(found: Mapping[str, Any]) -> str:
    """
    Format all results.
    """
    files = "\n".join(map(_file, found["files"]))
    return f"{files}\n\n{report(found, _result)}"


def _file(file: Mapping[str, Any]) -> str:
    parts = [f"{file['packets']} packets, {file['probes']} of probes"]
    if file["inPart"]:
        parts.append(f"{file['inPart']} captured in part")
    if file["unread"]:
        parts.append(f"{file['unread']} of another link type")
    if file["tooShort"]:
        parts.append(f"{file['tooShort']} of them too short to tell")
    if file["incomplete"]:
        parts.append(f"{file['incomplete']} datagrams without some fragment")
    return f"{file['path']}: {_ROLES[file['role']]}, {', '.join(parts)}"


def _result(result: Mapping[str, Any]) -> Iterator[str]:
    yield result["target"]
    counts = [f"{result['sent']} left"]
    if result["reached"] is not None:
        counts += [f"{result['reached']} reached the service"]
        counts += [f"{result['answered']} were answered"]
    share = f" ({100 * result['lost']['share']:.4g} %)" if result["lost"]["count"] else ""
    counts += [f"{result['back']} came back", f"{result['lost']['count']} lost{share}"]
    yield line("probes", ", ".join(counts))
    for place, words in _LOST.items():
        if (lost := result["lost"][place])["count"]:
            yield line("  lost", f"{lost['count']} {words}: {numbersText(lost['numbers'])}")
    if result["twice"]:
        yield line("twice", str(result["twice"]))
    if result["unseen"]:
        yield line("unseen", f"{result['unseen']} were somewhere without being captured there")
    rows = {
        "there": result["thereNs"],
        "at the service": result["serviceNs"],
        "back": result["backNs"],
        "RTT": result["rttNs"],
    }
    if any(rows.values()):
        yield from table(rows)
    if result["thereNs"] or result["backNs"]:
        yield "  there and back are only as exact as both hosts' clocks agree; their sum is exact"
    yield from _doubts(result)


def _doubts(result: Mapping[str, Any]) -> Iterator[str]:
    there, back = result["thereNs"], result["backNs"]
    if any(one and one["min"] < 0 for one in (there, back)):
        about = ""
        if there and back:
            # As if both ways took as long (RFC 5905, section 8).
            apart = abs(there["min"] - back["min"]) / 2
            about = f" by about {apart / SECOND:.3g} s"
        yield f"BEWARE: the clocks of the two hosts disagree{about}: a delay is below 0"
    alone = result["alone"]
    if alone["first"]:
        yield (
            f"BEWARE: the first {alone['first']} probes are in one capture alone: they were lost, "
            "or the other one began late"
        )
    if alone["last"]:
        yield (
            f"BEWARE: the last {alone['last']} probes are in one capture alone: they were lost, "
            "or the other one ended early"
        )
