"""
What was found, as tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from bench.report import Report, Table, lines, number, spread
from bench.rounds import Ratio, Results
from bench.rows import CPU, LATENCIES, ROWS, STARTUP, Figure, Row
from bench.servers import LEAST, MAKERS, OURS, RIVALS
from bench.startup import APPLICATIONS

#: The latency that must not be worse where the processor time is better.
TAIL = LATENCIES[1]

#: What the short table has: rows, and who is compared, each the best of some servers.
SHORT = ("tcp-1x64", "tcp-100x64", "tcp-10000x64", "tcp-2x1m", "udp-10x10x64", "accepts", "idle")
SHOWN = {
    "echotwist": (OURS,),
    "C": LEAST,
    "Go": ("Go", "Go io.Copy"),
    "uvloop": ("uvloop",),
    "asyncio": ("asyncio",),
    "Twisted": ("Twisted",),
}

#: How a standing is written before a name.
WORDS = {"ahead": "ahead of", "level": "level with", "behind": "behind", "–": "one round,"}


def _lines(rows: Sequence[Row]) -> Iterator[tuple[str, Row, Figure]]:
    for row in rows:
        for figure in row.figures:
            yield row.label + figure.suffix, row, figure


@dataclass(frozen=True)
class Standing:
    """
    How ours stands against the best of some.

    :param row: what they do.
    :param figure: what is compared.
    :param best: the best of the others.
    :param ratio: ours to that.
    :param word: what follows, see :meth:`bench.rounds.Ratio.standing`.
    """

    row: str
    figure: str
    best: str
    ratio: Ratio
    word: str


def standing(results: Results, row: Row, figure: Figure, others: Sequence[str]) -> Standing | None:
    """
    Compare ours with the best of others, if both have been measured.
    """
    best = results.best(row.key, others, figure)
    ratio = results.ratio(row.key, OURS, best, figure.name) if best else None
    if best is None or ratio is None:
        return None
    return Standing(row.key, figure.name, best, ratio, ratio.standing(figure))


def standings(results: Results, rows: Sequence[Row]) -> list[Standing]:
    """
    Compare ours in all that counts.
    """
    found = [
        standing(results, row, figure, others)
        for others in (RIVALS, LEAST)
        for row in rows
        for figure in [*row.figures, *([TAIL] if row.timed else [])]
    ]
    return [one for one in found if one]


class Tables:
    """
    The tables of what was found: a line for each row that was measured, a
    column for each server.
    """

    def __init__(self, results: Results) -> None:
        self._results = results
        self.rows = [row for row in ROWS if row.key in results.cells]
        measured = {server for row in self.rows for server in results.cells[row.key]}
        self.servers = [name for name in MAKERS if name in measured]

    def _each(self, key: str, figure: str) -> list[str]:
        return [number(self._results.median(key, server, figure)) for server in self.servers]

    def _against(self, row: Row, figure: Figure, others: Sequence[str]) -> str:
        found = standing(self._results, row, figure, others)
        return f"{WORDS[found.word]} {found.best}: {spread(found.ratio)}" if found else "–"

    def standings(self, others: Sequence[str], title: str) -> Table:
        """
        Make the table of how ours stands against the best of others.
        """
        body = [
            [
                label,
                number(self._results.median(row.key, OURS, figure.name)),
                self._against(row, figure, others),
                self._against(row, TAIL, others) if figure is CPU else "–",
            ]
            for label, row, figure in _lines(self.rows)
        ]
        return Table(title, ["", "ours", "ours / theirs", "p99: ours / theirs"], body)

    def medians(self) -> Table:
        """
        Make the table of medians.
        """
        body = [
            [label, *self._each(row.key, figure.name)] for label, row, figure in _lines(self.rows)
        ]
        title = "Processor time of the server for each message, µs, where a line says nothing else"
        return Table(title, ["", *self.servers], body)

    def ratios(self) -> Table:
        """
        Make the table of how all relate to ours.
        """
        others = [server for server in self.servers if server != OURS]
        body = [
            [
                label,
                *(spread(self._results.ratio(row.key, one, OURS, figure.name)) for one in others),
            ]
            for label, row, figure in _lines(self.rows)
        ]
        title = f"As multiples of {OURS}: median (least–most) of the rounds"
        return Table(title, ["", *others], body)

    def latencies(self) -> Table:
        """
        Make the table of how long a message takes there and back.
        """
        body = [
            [row.label + figure.suffix, *self._each(row.key, figure.name)]
            for row in self.rows
            if row.timed
            for figure in LATENCIES
        ]
        return Table("There and back, µs", ["", *self.servers], body)

    def startups(self) -> Table:
        """
        Make the table of what it takes to start.
        """
        names = list(APPLICATIONS)
        body = [
            [
                name,
                number(self._results.median(STARTUP, name, "seconds")),
                spread(self._results.ratio(STARTUP, name, names[-1], "seconds")),
            ]
            for name in names
        ]
        return Table("Start-up, until the port accepts", ["", "seconds", f"× {names[-1]}"], body)

    def rivals(self) -> Table:
        """
        Make the table against uvloop and Go.
        """
        title = "Against the best of uvloop and Go (ahead or behind: in every round)"
        return self.standings(RIVALS, title)

    def short(self) -> Table:
        """
        Make the table for those who want one figure for each kind of load.
        """
        body = [
            [label, *(self._best(row, servers, figure) for servers in SHOWN.values())]
            for label, row, figure in _lines(self.rows)
            if row.key in SHORT
        ]
        return Table("", ["", *SHOWN], body)

    def _best(self, row: Row, servers: Sequence[str], figure: Figure) -> str:
        best = self._results.best(row.key, servers, figure)
        return number(self._results.median(row.key, best, figure.name) if best else None)

    def all(self) -> list[Table]:
        """
        Make those for which something was measured.
        """
        found = []
        if OURS in self.servers:
            found += [self.rivals(), self.standings(LEAST, "Against C")]
        if self.servers:
            found += [self.medians(), self.ratios(), self.latencies()]
        if STARTUP in self._results.cells:
            found.append(self.startups())
        return found


def _losses(results: Results) -> Iterator[str]:
    for row in ROWS:
        shares = [
            f"{server} {100 * lost / (lost + sum(cell['messages'])):.2f} %"
            for server, cell in results.cells.get(row.key, {}).items()
            if (lost := sum(cell.get("lost", [])))
        ]
        if shares:
            yield f"lost, {row.label}: {', '.join(shares)}"


def told(results: Results) -> Report:
    """
    Say all that was found.
    """
    tables = Tables(results)
    data = {
        "about": results.about,
        "faults": results.faults,
        "standings": [asdict(one) for one in standings(results, tables.rows)],
        "rows": results.cells,
    }
    notes = [*lines(results.about), *_losses(results)]
    return Report(tables.all(), notes, data, results.faults)
