"""
The table of kinds against rules.
"""

from __future__ import annotations

import csv

import pytest

from tests import kinds, table
from tests.live import ROOT


@pytest.mark.parametrize("name", ["streams", "datagrams"])
def test_explained(name: str) -> None:
    """
    The page says what each rule of the table means.
    """
    page = (ROOT / "docs" / "kinds.rst").read_text("utf-8").splitlines()
    with (ROOT / "docs" / f"kinds-{name}.csv").open(encoding="utf-8") as file:
        rules = [row[0] for row in csv.reader(file)][1:]
    assert rules
    assert [rule for rule in rules if rule not in page] == []


def test_exceptions() -> None:
    """
    Only kinds that there are can be left out.
    """
    names = {kind.name for listeners in (kinds.STREAMS, kinds.DATAGRAMS) for kind in listeners}
    assert {name for row in table.EXCEPT.values() for name in row} <= names
