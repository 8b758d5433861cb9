"""
The table of kinds against rules.
"""

from __future__ import annotations

import csv

import pytest

from tests.support import kinds, table
from tests.support.live import WAYS


@pytest.mark.parametrize("name", ["streams", "datagrams"])
def test_explained(name: str) -> None:
    """
    The page says what each rule of the table means.
    """
    page = table.PAGE.read_text("utf-8").splitlines()
    rows = [line.strip() for line in table.rows(name)[0].splitlines()]
    rules = [row[0] for row in csv.reader(rows)][1:]
    assert rules
    assert [rule for rule in rules if rule not in page] == []


def test_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What was tested both ways is in the table, whether it held or not; a table of
    which something was not tested stays as it is.
    """
    monkeypatch.setattr(table, "_columns", {"streams": kinds.STREAMS[:2]})
    monkeypatch.setattr(table, "_rules", {"streams": ["half-close", "unfinished greeting"]})
    passed = {
        (rule, kind.name, way): True
        for rule in ("half-close", "unfinished greeting")
        for kind in kinds.STREAMS[:2]
        for way in WAYS
    }
    monkeypatch.setattr(table, "outcomes", passed)
    assert table.written("streams").splitlines() == [
        "   Rule,TCP,TLS 1.3",
        "   half-close,yes,yes",
        "   unfinished greeting,–,yes",
    ]
    assert table.rows("streams")[0].startswith("   Rule,TCP,TLS 1.3,")
    passed["half-close", "TCP", "portable"] = False
    assert "half-close,NO,yes" in table.written("streams")
    del passed["half-close", "TLS 1.3", "fast"]
    assert table.written("streams") == ""


def test_exceptions() -> None:
    """
    Only kinds that there are can be left out.
    """
    names = {kind.name for listeners in (kinds.STREAMS, kinds.DATAGRAMS) for kind in listeners}
    assert {name for row in table.EXCEPT.values() for name in row} <= names
