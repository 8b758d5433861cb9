"""
Paired rounds: in each, every server does everything once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.generator import WrongReply
from bench.rows import Row, Setting
from bench.servers import NotStarted, Server

Cell = Mapping[str, float]


@dataclass
class Results:
    """
    What was found.

    :ivar cells: by row and server, one for each round.
    :ivar faults: what servers did wrong, a line each.
    """

    cells: dict[str, dict[str, list[Cell]]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, row: str, server: str, cell: Cell) -> None:
        """
        Note what a round found.
        """
        self.cells.setdefault(row, {}).setdefault(server, []).append(cell)

    def figures(self, row: str, server: str, figure: str) -> list[float]:
        """
        Give a figure, for each round.
        """
        return [cell[figure] for cell in self.cells.get(row, {}).get(server, [])]

    def median(self, row: str, server: str, figure: str) -> float | None:
        """
        Give the median of a figure, if there is one.
        """
        figures = self.figures(row, server, figure)
        return median(figures) if figures else None

    def ratio(self, row: str, server: str, base: str, figure: str) -> float | None:
        """
        Give the median of what a server has for each one that another has in
        the same round.
        """
        pairs = zip(
            self.figures(row, server, figure), self.figures(row, base, figure), strict=False
        )
        ratios = [ours / theirs for ours, theirs in pairs if theirs > 0]
        return median(ratios) if ratios else None


def rotated(servers: Sequence[Server], by: int) -> list[Server]:
    """
    Give everybody another place in turn.
    """
    start = by % max(1, len(servers))
    return [*servers[start:], *servers[:start]]


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
    for number in range(setting.rounds):
        for row in rows:
            say(f"round {number + 1} of {setting.rounds}: {row.label}")
            for server in rotated(servers, number):
                if not row.takes(server) or (row.key, server.name) in out:
                    continue
                try:
                    results.add(row.key, server.name, row.run(server, setting))
                except (WrongReply, NotStarted) as error:
                    out.add((row.key, server.name))
                    results.faults.append(f"{server.name}, {row.label}: {error}")
    return results
