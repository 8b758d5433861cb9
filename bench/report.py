"""
What was found, as tables and as data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from bench.machine import machine
from bench.rounds import Results
from bench.rows import STARTUP, Row, Setting


def number(value: float | None) -> str:
    """
    Write a figure with about three digits.
    """
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


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

    def add(self, more: Report) -> None:
        """
        Append another.
        """
        self.tables += more.tables
        self.notes += more.notes
        self.data = {**self.data, **more.data}
        self.faults += more.faults

    def print(self) -> None:
        """
        Print the tables and the notes.
        """
        for table in self.tables:
            print(f"\n{table.title}\n\n{table.text('simple')}")
        print("", *self.notes, sep="\n")

    def writeTable(self, file: Path) -> None:
        """
        Write the tables and the notes as reST.
        """
        tables = [f"{table.title}:\n\n{table.text('rst')}\n" for table in self.tables]
        notes = [f"- {note}" for note in self.notes]
        file.write_text("\n".join([*tables, *notes]) + "\n")

    def writeJSON(self, file: Path) -> None:
        """
        Write the data, and where it comes from.
        """
        data = {"machine": machine(), "faults": self.faults, **self.data}
        file.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def circumstances(setting: Setting) -> list[str]:
    """
    Say where and how it was measured, a line each.
    """
    lines = [f"{name}: {value}" for name, value in machine().items()]
    lines.append(f"rounds: {setting.rounds}, {setting.seconds} s for each measurement")
    lines.append(f"idle connections: {setting.idle:,}")
    if not setting.cores.apart:
        lines.append("not pinned: server and client share the cores")
    return lines


def _lines(rows: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    for row in rows:
        for figure, more in row.figures:
            yield row.label + more, row.key, figure


def medians(results: Results, rows: Sequence[Row], servers: Sequence[str]) -> Table:
    """
    Make the table of medians.
    """
    body = [
        [label, *(number(results.median(key, server, figure)) for server in servers)]
        for label, key, figure in _lines(rows)
    ]
    title = "Processor time of the server for each message, µs, where a line says nothing else"
    return Table(title, ["", *servers], body)


def ratios(results: Results, rows: Sequence[Row], servers: Sequence[str], base: str) -> Table:
    """
    Make the table of how all relate to one.
    """
    body = [
        [label, *(number(results.ratio(key, server, base, figure)) for server in servers)]
        for label, key, figure in _lines(rows)
    ]
    return Table(f"As multiples of {base}'s (medians of the ratios)", ["", *servers], body)


def latencies(results: Results, rows: Sequence[Row], servers: Sequence[str]) -> Table:
    """
    Make the table of how long a message takes there and back.
    """

    def both(row: Row, server: str) -> str:
        return " / ".join(number(results.median(row.key, server, p)) for p in ("p50", "p99"))

    body = [[row.label, *(both(row, server) for server in servers)] for row in rows if row.timed]
    return Table("There and back, p50 / p99, µs", ["", *servers], body)


def startups(results: Results, names: Sequence[str]) -> Table:
    """
    Make the table of what it takes to start.
    """
    base = names[-1]
    body = [
        [
            name,
            number(results.median(STARTUP, name, "seconds")),
            number(results.ratio(STARTUP, name, base, "seconds")),
        ]
        for name in names
    ]
    return Table("Start-up, until the port accepts", ["", "seconds", f"× {base}"], body)


def losses(results: Results) -> Iterator[str]:
    """
    Say which datagrams were lost, a line for each row and server.
    """
    for key, cells in results.cells.items():
        for server, found in cells.items():
            lost = sum(cell.get("lost", 0) for cell in found)
            if lost:
                sent = lost + sum(cell["messages"] for cell in found)
                yield f"lost: {lost:,.0f} of {sent:,.0f} datagrams, {server}, {key}"
