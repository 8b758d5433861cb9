"""
Write the results of a measurement, in the chosen format.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from echotwist.probe.events import Event
from echotwist.probe.exchange import Exchange
from echotwist.probe.live import Blocks, Line, View, terminal, viewOn
from echotwist.probe.text import textOf
from echotwist.reactors import IReactor

#: The columns that describe a probe, in order.
COLUMNS = (
    "target",
    "number",
    "sentNs",
    "outcome",
    "rttNs",
    "clock",
    "queuedNs",
    "leftNs",
    "cameNs",
    "reason",
    "damage",
)

#: Called with a target and the outcome of one of its probes.
Observer = Callable[[str, Event], None]


def _row(target: str, event: Event) -> list[Any]:
    damage = None if event.damage is None else event.damage.pattern
    return [
        target,
        event.number,
        event.sentAt,
        event.outcome,
        event.rtt,
        event.clock,
        *(event.stamps or (None, None, None)),
        event.reason,
        damage,
    ]


class Writer:
    """
    Write the results; in a terminal, show the state meanwhile.

    :param file: the file to write to.
    :cvar isForEnd: nothing is written before the end.
    :ivar views: the views for a terminal, with and without rich.
    """

    observe: Observer | None = None
    isForEnd = True
    views: tuple[type[View], type[View]] = (Blocks, Line)

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._view: Any = None

    def begin(self, reactor: IReactor, exchanges: Sequence[Exchange], names: Sequence[str]) -> None:
        """
        Start showing the state.
        """
        self._view = viewOn(terminal(self.isForEnd), *self.views)
        if self._view is not None:
            self._view.start(reactor, exchanges, names)

    def take(self, exchanges: Sequence[Exchange], names: Sequence[str]) -> None:
        """
        Show the state of these exchanges from now on.
        """
        if self._view is not None:
            self._view.take(exchanges, names)

    def stop(self) -> None:
        """
        Remove the view from the terminal.
        """
        if self._view is not None:
            self._view.stop()

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Write the report, in formats that have one.
        """
        self.stop()


class Text(Writer):
    """
    Write text for a person.

    :param textOf: formats all results.
    """

    def __init__(self, file: TextIO, textOf: Callable[[Mapping[str, Any]], str] = textOf) -> None:
        super().__init__(file)
        self._textOf = textOf

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Write all results.
        """
        super().end(report)
        print(self._textOf(report), file=self._file, flush=True)


class Json(Writer):
    """
    Write all results as one JSON object, at the end.
    """

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Write the object.
        """
        super().end(report)
        print(json.dumps(report), file=self._file, flush=True)


class JsonLines(Writer):
    """
    Write the outcome of each probe as a JSON object on a line of its own.
    """

    isForEnd = False

    def observe(self, target: str, event: Event) -> None:
        """
        Write an outcome.
        """
        row = dict(zip(COLUMNS, _row(target, event), strict=True))
        print(json.dumps(row), file=self._file, flush=True)


class Csv(Writer):
    """
    Write the outcome of each probe as a line of comma-separated values (RFC 4180).
    """

    isForEnd = False

    def __init__(self, file: TextIO) -> None:
        super().__init__(file)
        self._writer = csv.writer(file)

    def begin(self, reactor: IReactor, exchanges: Sequence[Exchange], names: Sequence[str]) -> None:
        """
        Write the line of column names.
        """
        super().begin(reactor, exchanges, names)
        self._writer.writerow(COLUMNS)
        self._file.flush()

    def observe(self, target: str, event: Event) -> None:
        """
        Write an outcome.
        """
        self._writer.writerow(_row(target, event))
        self._file.flush()


def writerFor(settings: Any, file: TextIO = sys.stdout) -> Any:
    """
    Return the writer for the chosen format.
    """
    if settings.jsonLines:
        return JsonLines(file)
    if settings.csv:
        return Csv(file)
    return Json(file) if settings.json else Text(file)


def writerAtEnd(
    settings: Any, textOf: Callable[[Mapping[str, Any]], str], file: TextIO = sys.stdout
) -> Any:
    """
    Return the writer for the chosen format, for a command that writes only at the end.

    :param textOf: writes all that was found, for a person.
    """
    return Json(file) if settings.json else Text(file, textOf)
