"""
Where what a measurement finds is written to.
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

#: What is told of each probe, in this order.
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

#: Hears what became of a probe to a target.
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
    Write what was found; in a terminal, show meanwhile how it stands.

    :param file: where to.
    :cvar isForEnd: nothing is written before the end.
    :ivar views: what a terminal shows, with rich and without.
    """

    observe: Observer | None = None
    isForEnd = True
    views: tuple[type[View], type[View]] = (Blocks, Line)

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._view: Any = None

    def begin(self, reactor: Any, exchanges: Sequence[Exchange], names: Sequence[str]) -> None:
        """
        Begin to show how it stands.
        """
        self._view = viewOn(terminal(self.isForEnd), *self.views)
        if self._view is not None:
            self._view.start(reactor, exchanges, names)

    def take(self, exchanges: Sequence[Exchange], names: Sequence[str]) -> None:
        """
        Show how others stand from now on.
        """
        if self._view is not None:
            self._view.take(exchanges, names)

    def stop(self) -> None:
        """
        Leave the terminal as it was.
        """
        if self._view is not None:
            self._view.stop()

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Write what is to be written in the end.
        """
        self.stop()


class Text(Writer):
    """
    Write for a person.

    :param textOf: writes all that was found.
    """

    def __init__(self, file: TextIO, textOf: Callable[[Mapping[str, Any]], str] = textOf) -> None:
        super().__init__(file)
        self._textOf = textOf

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Write all that was found.
        """
        super().end(report)
        print(self._textOf(report), file=self._file, flush=True)


class Json(Writer):
    """
    Write all that was found as one JSON object, in the end.
    """

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Write it.
        """
        super().end(report)
        print(json.dumps(report), file=self._file, flush=True)


class JsonLines(Writer):
    """
    Write what became of each probe as a JSON object, each in its line.
    """

    isForEnd = False

    def observe(self, target: str, event: Event) -> None:
        """
        Write one.
        """
        row = dict(zip(COLUMNS, _row(target, event), strict=True))
        print(json.dumps(row), file=self._file, flush=True)


class Csv(Writer):
    """
    Write what became of each probe as a line of values (RFC 4180).
    """

    isForEnd = False

    def __init__(self, file: TextIO) -> None:
        super().__init__(file)
        self._writer = csv.writer(file)

    def begin(self, reactor: Any, exchanges: Sequence[Exchange], names: Sequence[str]) -> None:
        """
        Write what the values are.
        """
        super().begin(reactor, exchanges, names)
        self._writer.writerow(COLUMNS)
        self._file.flush()

    def observe(self, target: str, event: Event) -> None:
        """
        Write one.
        """
        self._writer.writerow(_row(target, event))
        self._file.flush()


def writerFor(settings: Any, file: TextIO = sys.stdout) -> Any:
    """
    Give the writer that was asked for.
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
    Give the writer that was asked for, where all is written at the end.

    :param textOf: writes all that was found, for a person.
    """
    return Json(file) if settings.json else Text(file, textOf)
