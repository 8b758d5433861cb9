"""
Show the state of all targets in a terminal: targets that lose something come first.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import groupby

from echotwist.probe.glance import LOSS, Glance, bars
from echotwist.probe.live import Line, Rich

#: Columns of a name at most, and of each figure.
_WIDEST, _FIGURE = 24, 8

#: How many of the latest probes of a target are searched for a loss.
_NOW = 20

#: Nanoseconds of a millisecond.
_MS = 10**6


def isIll(glance: Glance) -> bool:
    """
    Tell whether a target has lost a probe recently.
    """
    return None in list(glance.past)[-_NOW:]


def worstFirst(glances: Sequence[Glance]) -> list[Glance]:
    """
    Put targets with recent losses first, and keep the order otherwise.
    """
    return sorted(glances, key=lambda one: not isIll(one))


def figures(glance: Glance) -> list[str]:
    """
    Format sent, lost, share, late, and the last round trips' median and maximum (milliseconds).
    """
    books, recent = glance.exchange.books, sorted(glance.exchange.rtt.recent)
    counts = [f"{books.sent}", f"{glance.lost}", f"{books.late}"]
    if not recent:
        return [*counts, "-", "-"]
    return [*counts, f"{recent[len(recent) // 2] / _MS:.3f}", f"{recent[-1] / _MS:.3f}"]


class Table(Rich):
    """
    Show a line for each target, as many as fit.
    """

    past = 200

    def _show(self) -> None:
        from rich.text import Text

        console = self._console
        shown = Text(no_wrap=True, overflow="ellipsis", end="")
        width = min(_WIDEST, max([6, *(len(one.name) for one in self._glances)]))
        heads = ("sent", "lost", "late", "median", "max")
        shown.append(f"{'target':{width}}", "bold")
        shown.append("".join(f"{head:>{_FIGURE}}" for head in heads), "bold")
        room = max(1, console.height - 3)
        for glance in worstFirst(self._glances)[:room]:
            name = glance.name if len(glance.name) <= width else f"{glance.name[: width - 1]}…"
            style = "bold red" if isIll(glance) else ""
            shown.append(f"\n{name:{width}}", style)
            shown.append("".join(f"{one:>{_FIGURE}}" for one in figures(glance)))
            shown.append("  ")
            rest = console.width - width - len(heads) * _FIGURE - 3
            for isLoss, marks in groupby(bars(glance.past, rest), LOSS.__eq__):
                shown.append("".join(marks), "bold red" if isLoss else "green")
        if len(self._glances) > room:
            shown.append(f"\n... and {len(self._glances) - room} more", "dim")
        self._live.update(shown, refresh=True)


class Summary(Line):
    """
    Show one line for all targets.
    """

    past = 20

    def _show(self) -> None:
        ill = [one.name for one in self._glances if isIll(one)]
        sent = sum(one.exchange.books.sent for one in self._glances)
        line = f"{len(self._glances)} targets, {sent} sent"
        if ill:
            line += f", {len(ill)} lose something: {', '.join(ill)}"
        line = line[: shutil.get_terminal_size().columns - 1]
        self._file.write(f"\r{line}\x1b[K")
        self._file.flush()
