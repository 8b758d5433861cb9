"""
What there is to say: tables, notes and data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from bench.rounds import Ratio


def number(value: float | None) -> str:
    """
    Write a figure with about three digits.
    """
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def lines(about: Mapping[str, str]) -> list[str]:
    """
    Write what has a name, a line each.
    """
    return [f"{name}: {text}" for name, text in about.items()]


def spread(ratio: Ratio | None) -> str:
    """
    Write a ratio with its least and most.
    """
    if ratio is None:
        return "–"
    return f"{number(ratio.median)} ({number(ratio.least)}–{number(ratio.most)})"


@dataclass(frozen=True)
class Table:
    """
    A table with its title.
    """

    title: str
    heads: Sequence[str]
    body: Sequence[Sequence[str]]

    def text(self, style: str) -> str:
        """
        Lay it out, without the title.

        :param style: one of tabulate's.
        """
        aligned = ["left", *("right" for _ in self.heads[1:])]
        text: str = tabulate(
            self.body, self.heads, tablefmt=style, colalign=aligned, disable_numparse=True
        )
        return text

    def reST(self) -> str:
        """
        Lay it out for documentation, below its title if it has one.
        """
        title = f"{self.title}:\n\n" if self.title else ""
        return f"{title}.. rst-class:: figures\n\n{self.text('rst')}\n"


@dataclass
class Report:
    """
    All that there is to say.

    :param notes: what belongs to the tables, a line each.
    :param data: all that was measured, fit for JSON.
    :param faults: what servers did wrong, a line each.
    """

    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: Mapping[str, object] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def print(self) -> None:
        """
        Print the tables and the notes.
        """
        for table in self.tables:
            print(f"\n{table.title}\n\n{table.text('simple')}")
        print("", *self.notes, sep="\n")

    def reST(self) -> str:
        """
        Return the tables and the notes for documentation.
        """
        notes = "".join(f"- {note}\n" for note in self.notes)
        return "\n".join([*(table.reST() for table in self.tables), notes])

    def writeJSON(self, file: Path) -> None:
        """
        Write the data, a list to a line.
        """
        writeJSON(file, self.data)


def writeJSON(file: Path, data: Mapping[str, object]) -> None:
    """
    Write data, a list of numbers to a line.
    """
    text = json.dumps(data, indent=1, ensure_ascii=False)
    file.write_text(re.sub(r"\[[^][{}\"]*\]", _oneLine, text) + "\n")


def _oneLine(found: re.Match[str]) -> str:
    return " ".join(found[0].split())
