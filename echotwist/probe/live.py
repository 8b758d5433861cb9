"""
Show the state of a running measurement in a terminal.

With rich there is a block for each target, without it one line for all.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from time import monotonic
from typing import TextIO

from twisted.internet.task import LoopingCall

from echotwist.probe.exchange import Exchange
from echotwist.probe.glance import LOSS, Glance, bars
from echotwist.probe.text import liveText
from echotwist.reactors import IReactor

#: Seconds from one update to the next.
_REFRESH = 0.5


def terminal(isForText: bool) -> TextIO | None:
    """
    Find a terminal to show the state on.

    :param isForText: nothing is written to the standard output until the end.
    """
    if sys.stdout.isatty():
        return sys.stdout if isForText else None
    return sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None


def viewOn(file: TextIO | None, full: type[View], plain: type[View]) -> View | None:
    """
    Choose the view for a terminal, if there is one that can show it.

    :param full: the view with rich.
    :param plain: the view without rich.
    """
    if file is None or os.environ.get("TERM", "dumb") == "dumb":
        return None
    try:
        import rich  # noqa: F401
    except ImportError:
        return plain(file)
    return full(file)


class View:
    """
    Show the state of some exchanges, again and again.

    :param file: a terminal.
    :cvar past: columns that the past is kept for at the most.
    """

    past = 1000

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._glances: list[Glance] = []
        self._call: LoopingCall | None = None

    def start(self, reactor: IReactor, exchanges: Sequence[Exchange], names: Sequence[str]) -> None:
        """
        Start.

        :param names: the names of the exchanges.
        """
        self.take(exchanges, names)
        self._call = LoopingCall(self._update)
        self._call.clock = reactor
        self._call.start(_REFRESH)  # The first is slow, so it comes before any probe.

    def take(self, exchanges: Sequence[Exchange], names: Sequence[str]) -> None:
        """
        Show these from now on.
        """
        known = {id(glance.exchange): glance for glance in self._glances}
        self._glances = [
            known.get(id(one)) or Glance(name, one, deque(maxlen=self.past))
            for name, one in zip(names, exchanges, strict=True)
        ]

    def _update(self) -> None:
        now = monotonic()
        for glance in self._glances:
            glance.update(now)
        self._show()

    def stop(self) -> None:
        """
        Stop, and clear the view.
        """
        if self._call is not None:
            self._call.stop()
            self._call = None
            self._clear()

    def _show(self) -> None:
        raise NotImplementedError

    def _clear(self) -> None:
        raise NotImplementedError


class Line(View):
    """
    Show one line.
    """

    def _show(self) -> None:
        line = liveText(self._glances)[: shutil.get_terminal_size().columns - 1]
        self._file.write(f"\r{line}\x1b[K")
        self._file.flush()

    def _clear(self) -> None:
        self._file.write("\r\x1b[K")
        self._file.flush()


class Rich(View):
    """
    Show some lines, with rich.
    """

    def start(self, reactor: IReactor, exchanges: Sequence[Exchange], names: Sequence[str]) -> None:
        """
        Begin.
        """
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._file, highlight=False)
        self._console = console
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        super().start(reactor, exchanges, names)

    def _clear(self) -> None:
        self._live.stop()


class Blocks(Rich):
    """
    Show a block for each target.
    """

    def _show(self) -> None:
        from rich.text import Text

        width = self._console.width
        shown = Text(no_wrap=True, overflow="ellipsis", end="")
        for number, glance in enumerate(self._glances):
            shown.append("\n" if number else "")
            shown.append(glance.name, "bold")
            shown.append(f"  {glance.counts}")
            for words in glance.faults:
                shown.append(f"  {words}", "bold red")
            shown.append(f"\n  {glance.times}\n  ")
            for isLoss, marks in groupby(bars(glance.past, width - 3), LOSS.__eq__):
                shown.append("".join(marks), "bold red" if isLoss else "green")
        self._live.update(shown, refresh=True)
