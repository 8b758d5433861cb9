"""
Tools that measure a path, side by side: ``python -m bench probe``.

Each measures the same path, on loopback and between two hosts (network namespaces joined
by a veth pair).  What tcpdump captured at the client's end is the truth.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.command import say, some
from bench.machine import otherWork, parts
from bench.pages import ROOT, fill
from bench.paths import FAST, Figures, Wrong, made, measured
from bench.report import Report, Table, lines, number
from bench.rounds import Unreadable
from bench.toolchains import Missing, tool, version
from bench.tools import TOOLS, Tool

#: What was found, and the page that shows it, from the root of a checkout.
RESULT, PAGE = "docs/measure.json", "docs/measure.rst"

#: Probes a second that are tried one after the other.
RATES = (1000, 5000, 10_000, 20_000, 50_000)

#: Seconds for which the evenness of the machine is measured.
_EVEN = 3.0

#: The paths: how a table names each.
PATHS = {"loopback": "Loopback", "veth": "A veth pair between two network namespaces"}

#: What matters of the machine.
_ABOUT = ("processor", "cores", "kernel", "Python", "Twisted", "echotwist")


def compared(
    names: Sequence[str], paths: Sequence[str], seconds: float, rates: Sequence[int]
) -> Report:
    """
    Measure some tools on some paths.
    """
    about = {name: text for name, text in parts().items() if name in _ABOUT}
    about |= {"other work": otherWork(), "each run": f"{seconds:g} s"}
    if rates:
        about["the same work"] = evenness()
    found: dict[str, dict[str, Figures]] = {path: {} for path in paths}
    faults = []
    for name in names:
        try:
            tool(TOOLS[name].program)
        except Missing as reason:
            about[f"skipped {name}"] = str(reason)
            continue
        if TOOLS[name].version:
            about[name] = _version(TOOLS[name])
        for path in paths:
            say(f"{path}: {name}")
            try:
                with tempfile.TemporaryDirectory() as folder, made(path, Path(folder)) as route:
                    found[path][name] = measured(route, TOOLS[name], seconds, rates)
            except (Wrong, TimeoutError) as error:
                faults.append(f"{path}, {name}: {error}")
    data = {"about": about, "paths": found, "faults": faults}
    return told(data)


def evenness() -> str:
    """
    Measure how much longer the same short work takes at times: a machine that others use,
    too, may be slow for some milliseconds without having anything else to do.
    """
    texts = {place: str(place) for place in range(20_000)}
    took = []
    until = time.monotonic() + _EVEN
    while time.monotonic() < until:
        start = time.perf_counter_ns()
        for place in range(150):
            len(texts[place * 7919 % len(texts)])
        took.append(time.perf_counter_ns() - start)
        time.sleep(60e-6)
    took.sort()
    slow = took[len(took) * 99 // 100] / took[len(took) // 2]
    return f"1 of 100 times it takes {number(slow)} times as long as usual, or longer"


def _version(one: Tool) -> str:
    words = re.findall(r"\d+(?:\.\d+)+", version(*one.version))
    return words[0] if words else ""


HEADS = [
    "",
    "error, p50, µs",
    "error, p99, µs",
    "processor, µs a probe",
    "largest rate, a second",
    "late at that, p99, ms",
    "lost at that",
]


def _line(name: str, found: Figures) -> list[str]:
    micro = [number(found[key] / 1000) for key in ("error50", "error99", "cpu")]
    if "rate" not in found:
        return [name, *micro, "–", "–", "–"]
    rate = f"{found['rate']:,.0f}"
    return [name, *micro, rate, number(found["late99"] / 1e6), f"{100 * found['lost']:.2g} %"]


def told(data: Mapping[str, Any]) -> Report:
    """
    Say what was found.

    :param data: what is in :data:`RESULT`.
    """
    tables = [
        Table(PATHS[path], HEADS, [_line(name, found) for name, found in tools.items()])
        for path, tools in data["paths"].items()
    ]
    own = {
        f"{name} late by its own account, {FAST:,} a second, {path}": ", ".join(
            f"{number(found[f'own{share}'] / 1000)} µs (p{share})" for share in (50, 99)
        )
        for path, tools in data["paths"].items()
        for name, found in tools.items()
        if "own99" in found
    }
    own |= {
        f"{name} processor time, {FAST:,} a second, {path}": (
            f"{number(found['ownCpu'] / 1000)} µs a probe"
        )
        for path, tools in data["paths"].items()
        for name, found in tools.items()
        if "ownCpu" in found
    }
    return Report(tables, lines({**data["about"], **own}), data, list(data["faults"]))


def figures(data: Mapping[str, Any]) -> dict[str, str]:
    """
    Return what the page shows, by name, as reST.

    :param data: what is in :data:`RESULT`.
    """
    return {"probe": told(data).reST()}


def _read(file: Path) -> Report:
    """
    Read what was written before.

    :raise Unreadable: it is something else.
    """
    try:
        return told(json.loads(file.read_text()))
    except OSError as error:
        raise Unreadable(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise Unreadable(f"no result of a measurement: {file}") from None


def _parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog="python -m bench probe",
        description="Compare tools that measure a path with what tcpdump captures of it.",
    )
    add = words.add_argument
    for name, known in {"only": [*TOOLS], "paths": [*PATHS]}.items():
        text = f"of {', '.join(known)}"
        add(f"--{name}", type=some(known), default=known, metavar="A,B", help=text)
    add("--from", type=Path, dest="source", metavar="FILE", help="show an older --json again")
    add("--short", action="store_true", help="one short run of each, to see that it works")
    add("--json", type=Path, metavar="FILE", help="all that was measured")
    add("--publish", action="store_true", help=f"write {PAGE} of this checkout")
    return words


def main(arguments: Sequence[str]) -> int:
    """
    Run the command.

    :return: the exit status: 1 when a tool was wrong or nothing could run.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.source:
            report = _read(options.source)
        else:
            seconds, rates = (0.75, ()) if options.short else (1.0, RATES)
            report = compared(options.only, options.paths, seconds, rates)
    except (Missing, Unreadable) as reason:
        say(f"bench: {reason}")
        return 1
    report.print()
    if options.json:
        report.writeJSON(options.json)
    if options.publish:
        report.writeJSON(ROOT / RESULT)
        fill([PAGE], figures(report.data))
    for fault in report.faults:
        say(f"WRONG: {fault}")
    return 1 if report.faults else 0
