"""
Paired rounds: in each, every server does everything once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.generator import WrongReply
from bench.rows import Figure, Row, Setting
from bench.servers import NotStarted, Server

#: Figures of a row and a server by name, one for each round.
Cell = dict[str, list[float]]


class Unreadable(Exception):
    """
    There is no result in a file; the text says why.
    """


@dataclass(frozen=True)
class Ratio:
    """
    What one server has for each one that another has in the same round.

    :param median: of all rounds.
    :param least: of all rounds.
    :param most: of all rounds.
    """

    median: float
    least: float
    most: float

    def standing(self, figure: Figure) -> str:
        """
        Say how the first server stands: ``ahead`` or ``behind`` if it is in
        every round, as far as two decimals show; ``level`` otherwise.

        One round tells nothing.
        """
        least, most = round(self.least, 2), round(self.most, 2)
        if self.least == self.most:
            return "–"
        if least <= 1 <= most:
            return "level"
        return "ahead" if (least > 1) is figure.more else "behind"


@dataclass
class Results:
    """
    What was found.

    :ivar cells: by row and server.
    :ivar about: where and how, by name.
    :ivar faults: what servers did wrong, a line each.
    """

    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> Results:
        """
        Read what was written, see :meth:`bench.report.Report.writeJSON`.

        :raise Unreadable: when it is something else.
        """
        try:
            data = json.loads(file.read_text())
            return cls(data["rows"], data["about"], data["faults"])
        except OSError as error:
            raise Unreadable(f"cannot read {file}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise Unreadable(f"no result of a measurement: {file}") from None

    def add(self, row: str, server: str, found: Mapping[str, float]) -> None:
        """
        Note what a round found, with four digits.
        """
        cell = self.cells.setdefault(row, {}).setdefault(server, {})
        for name, value in found.items():
            cell.setdefault(name, []).append(float(f"{value:.4g}"))

    def figures(self, row: str, server: str, figure: str) -> list[float]:
        """
        Return a figure, for each round.
        """
        return self.cells.get(row, {}).get(server, {}).get(figure, [])

    def median(self, row: str, server: str, figure: str) -> float | None:
        """
        Return the median of a figure, if there is one.
        """
        figures = self.figures(row, server, figure)
        return median(figures) if figures else None

    def ratio(self, row: str, server: str, base: str, figure: str) -> Ratio | None:
        """
        Compare two servers, if both have the figure.
        """
        pairs = zip(
            self.figures(row, server, figure), self.figures(row, base, figure), strict=False
        )
        ratios = [round(ours / theirs, 4) for ours, theirs in pairs if theirs > 0]
        return Ratio(median(ratios), min(ratios), max(ratios)) if ratios else None

    def best(self, row: str, servers: Sequence[str], figure: Figure) -> str | None:
        """
        Name the one of some servers with the best median, if one has the figure.
        """
        medians = {server: self.median(row, server, figure.name) for server in servers}
        known = {server: value for server, value in medians.items() if value is not None}
        if not known:
            return None
        return (max if figure.more else min)(known, key=known.__getitem__)


def rotated(servers: Sequence[Server], by: int) -> list[Server]:
    """
    Give everybody another place in turn.
    """
    start = by % max(1, len(servers))
    return [*servers[start:], *servers[:start]]


def _pairs(
    rows: Sequence[Row], servers: Sequence[Server], setting: Setting, say: Callable[[str], object]
) -> Iterator[tuple[Row, Server]]:
    for number in range(setting.rounds):
        for row in rows:
            say(f"round {number + 1} of {setting.rounds}: {row.label}")
            some = servers if row.sample or not setting.sample else servers[:1]
            for server in rotated(some, number):
                if row.takes(server):
                    yield row, server


def run(
    rows: Sequence[Row],
    servers: Sequence[Server],
    setting: Setting,
    say: Callable[[str], object],
) -> Results:
    """
    Measure everything.

    A server that does something wrong in a row is left out of it from then on.

    :param say: is told what is going on.
    """
    results = Results()
    out: set[tuple[str, str]] = set()
    for row, server in _pairs(rows, servers, setting, say):
        if (row.key, server.name) in out:
            continue
        try:
            results.add(row.key, server.name, row.run(server, setting))
        except (WrongReply, NotStarted) as error:
            out.add((row.key, server.name))
            results.faults.append(f"{server.name}, {row.label}: {error}")
    return results
