"""
What was found, as tables and as data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from bench.rounds import Results
from bench.rows import Row


def number(value: float | None) -> str:
    """
    Write a figure with about three digits.
    """
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def lines(rows: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    """
    Give the lines of a table: label, row and figure.
    """
    for row in rows:
        for figure, more in row.figures:
            yield row.label + more, row.key, figure


def medians(results: Results, rows: Sequence[Row], servers: Sequence[str], style: str) -> str:
    """
    Make the table of medians.

    :param style: one of tabulate's.
    """
    body = [
        [label, *(number(results.median(key, server, figure)) for server in servers)]
        for label, key, figure in lines(rows)
    ]
    return _table(body, servers, style)


def ratios(
    results: Results, rows: Sequence[Row], servers: Sequence[str], base: str, style: str
) -> str:
    """
    Make the table of what each has for one of a server's.
    """
    body = [
        [label, *(number(results.ratio(key, server, base, figure)) for server in servers)]
        for label, key, figure in lines(rows)
    ]
    return _table(body, servers, style)


def latencies(results: Results, rows: Sequence[Row], servers: Sequence[str], style: str) -> str:
    """
    Make the table of how long a message takes there and back, in microseconds.
    """
    body = [
        [
            row.label,
            *(
                " / ".join(number(results.median(row.key, server, p)) for p in ("p50", "p99"))
                for server in servers
            ),
        ]
        for row in rows
        if row.figures[0][0] == "cpu"
    ]
    return _table(body, servers, style)


def _table(body: list[list[str]], servers: Sequence[str], style: str) -> str:
    aligned = ["left", *("right" for _ in servers)]
    text: str = tabulate(
        body, ["", *servers], tablefmt=style, colalign=aligned, disable_numparse=True
    )
    return text


def sections(
    results: Results, rows: Sequence[Row], servers: Sequence[str], bases: Sequence[str], style: str
) -> Iterator[tuple[str, str]]:
    """
    Give all tables but the latencies, each with its title.

    :param bases: to whom the others are compared.
    """
    title = "Processor time of the server for each message, µs, unless it says otherwise"
    yield title, medians(results, rows, servers, style)
    for base in bases:
        if base in servers:
            title = f"How many times {base}'s that is (median of the rounds' ratios)"
            yield title, ratios(results, rows, servers, base, style)


def startups(results: Results, names: Sequence[str], style: str) -> tuple[str, str]:
    """
    Make the table of what it takes to start, with its title.
    """
    base = names[-1]
    body = [
        [
            name,
            number(results.median("startup", name, "seconds")),
            number(results.ratio("startup", name, base, "seconds")),
        ]
        for name in names
    ]
    return "Start-up, until the port accepts", _table(body, ["seconds", f"× {base}"], style)


def losses(results: Results) -> Iterator[str]:
    """
    Name the rows in which datagrams were lost, a line for each server.
    """
    for key, cells in results.cells.items():
        for server, found in cells.items():
            lost = sum(cell.get("lost", 0) for cell in found)
            if lost:
                sent = lost + sum(cell["messages"] for cell in found)
                yield f"{server}, {key}: {lost:,.0f} of {sent:,.0f} datagrams lost"
