"""
The table of kinds against rules, which the tests of all of them fill in.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from io import StringIO
from textwrap import indent
from typing import Any

import pytest

from tests.support.kinds import DATAGRAMS, MAY_RAW, STREAMS, Kind, Raw
from tests.support.live import ROOT, WAYS

#: Which rules do not apply to which kinds, and why.
EXCEPT: dict[str, dict[str, str]] = {
    "unfinished greeting": {
        "TCP": "the first byte is the first byte to echo",
        "UNIX": "the same",
        "UNIX abstract": "the same",
        "systemd": "the same",
    },
    "others have their own limit": {
        "UNIX": "all who connect are one peer",
        "UNIX abstract": "the same",
    },
    "allowed networks": {
        "UNIX": "its mode says who may connect",
        "UNIX abstract": "the same",
        "UNIX datagram": "the same",
        "UNIX datagram abstract": "the same",
        "raw IPv6": "loopback has one address",
    },
    "asked address": {
        "UNIX datagram": "it has one name",
        "UNIX datagram abstract": "the same",
        "raw IPv6": "loopback has one address",
    },
    "to each its own": {
        "raw IPv4": "all clients at one address get all that comes there",
        "raw IPv6": "the same",
    },
    "refusals": {
        "raw IPv6": "there are no ports, and on loopback no groups",
    },
}

#: The page that has both tables.
PAGE = ROOT / "docs" / "kinds.rst"

YES, NO, NOT_FOR_IT = "yes", "NO", "–"

#: What became of each test: rule, kind, way.
outcomes: dict[tuple[str, ...], bool] = {}

_rules: dict[str, list[str]] = {"streams": [], "datagrams": []}
_columns: dict[str, Sequence[Kind]] = {"streams": STREAMS, "datagrams": DATAGRAMS}


def streams(rule: str) -> Callable[[Any], Any]:
    """
    Hold all kinds of streams to a rule, if it applies to them.
    """
    return _over("streams", rule)


def datagrams(rule: str) -> Callable[[Any], Any]:
    """
    Hold all kinds of datagrams to a rule, if it applies to them.
    """
    return _over("datagrams", rule)


def _over(table: str, rule: str) -> Callable[[Any], Any]:
    _rules[table].append(rule)
    kinds = [kind for kind in _columns[table] if kind.name not in EXCEPT.get(rule, {})]
    cells = [pytest.param(kind, id=kind.name, marks=_marks(kind)) for kind in kinds]
    over = pytest.mark.parametrize("kind", cells, indirect=True, scope="module")

    def marked(test: Any) -> Any:
        return over(pytest.mark.rule(rule)(test))

    return marked


def _marks(kind: Kind) -> list[pytest.MarkDecorator]:
    if not isinstance(kind, Raw):
        return []
    return [pytest.mark.skipif(not MAY_RAW, reason="needs root, for raw sockets")]


def cell(item: pytest.Item) -> tuple[str, ...]:
    """
    Tell which rule a test holds which kind to, and in which way, if it does.
    """
    marker = item.get_closest_marker("rule")
    if marker is None:
        return ()
    params = item.callspec.params  # type: ignore[attr-defined]
    return marker.args[0], params["kind"].name, params["way"]


def note(cell: tuple[str, ...], report: pytest.TestReport) -> None:
    """
    Remember what became of a test, or of its preparation.
    """
    if report.when == "call" or not report.passed:
        outcomes[cell] = report.passed and outcomes.get(cell, True)


def rows(table: str) -> re.Match[str]:
    """
    Find the rows of a table in the page about it.
    """
    pattern = rf"(?<=csv-table:: {table.capitalize()}\n   :header-rows: 1\n\n)(   .+\n)+"
    found = re.search(pattern, PAGE.read_text("utf-8"))
    assert found is not None, f"no table of {table}"
    return found


def written(table: str) -> str:
    """
    Write a table.

    :return: its rows, as the page has them; nothing if not all of its tests were run.
    """
    names = [kind.name for kind in _columns[table]]
    text = StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerow(["Rule", *names])
    for rule in _rules[table]:
        cells = [_cell(rule, name) for name in names]
        if "" in cells:
            return ""
        sheet.writerow([rule, *cells])
    return indent(text.getvalue(), "   ")


def _cell(rule: str, name: str) -> str:
    if name in EXCEPT.get(rule, {}):
        return NOT_FOR_IT
    results = [outcomes.get((rule, name, way)) for way in WAYS]
    if None in results:
        return ""
    return YES if all(results) else NO


def changed() -> list[str]:
    """
    Write the tables of which all tests were run, and name those that changed.
    """
    names = []
    for table in _rules:
        found, text = rows(table), written(table)
        if _rules[table] and text and found[0] != text:
            page = found.string
            PAGE.write_text(page[: found.start()] + text + page[found.end() :], "utf-8")
            names.append(table)
    return names
