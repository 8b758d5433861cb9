"""
Where what a measurement finds is written to.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from twisted.internet.task import LoopingCall

from echotwist.probe.events import Event
from echotwist.probe.exchange import Exchange
from echotwist.probe.text import liveText, textOf

#: Seconds from one writing of the live line to the next.
_REFRESH = 0.2

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


class Text:
    """
    Write for a person: in a terminal a line that shows how it stands, and in the end
    all that was found.

    :param file: where to.
    :param textOf: writes all that was found.
    """

    observe: Observer | None = None

    def __init__(self, file: TextIO, textOf: Callable[[Mapping[str, Any]], str] = textOf) -> None:
        self._file = file
        self._textOf = textOf
        self._live: Any = None

    def begin(self, reactor: Any, exchanges: Sequence[Exchange], names: Sequence[str]) -> None:
        """
        Begin to show how it stands.
        """
        if not self._file.isatty():
            return
        self._live = LoopingCall(self._show, exchanges, names)
        self._live.clock = reactor
        self._live.start(_REFRESH, now=False)

    def _show(self, exchanges: Sequence[Exchange], names: Sequence[str]) -> None:
        counts = [
            (
                name,
                one.books.sent,
                one.books.back,
                one.books.late,
                one.books.sent - one.books.pending - one.books.back - one.books.late,
                one.last,
            )
            for name, one in zip(names, exchanges, strict=True)
        ]
        line = liveText(counts)[: shutil.get_terminal_size().columns - 1]
        self._file.write(f"\r{line}\x1b[K")
        self._file.flush()

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Write all that was found.
        """
        if self._live is not None:
            self._live.stop()
            self._file.write("\r\x1b[K")
        print(self._textOf(report), file=self._file, flush=True)


class Json:
    """
    Write all that was found as one JSON object, in the end.

    :param file: where to.
    """

    observe: Observer | None = None

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def begin(self, *_: object) -> None:
        """
        Say nothing yet.
        """

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Write it.
        """
        print(json.dumps(report), file=self._file, flush=True)


class JsonLines(Json):
    """
    Write what became of each probe as a JSON object, each in its line.
    """

    def observe(self, target: str, event: Event) -> None:
        """
        Write one.
        """
        row = dict(zip(COLUMNS, _row(target, event), strict=True))
        print(json.dumps(row), file=self._file, flush=True)

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Say nothing more.
        """


class Csv(Json):
    """
    Write what became of each probe as a line of values (RFC 4180).
    """

    def __init__(self, file: TextIO) -> None:
        super().__init__(file)
        self._writer = csv.writer(file)

    def begin(self, *_: object) -> None:
        """
        Write what the values are.
        """
        self._writer.writerow(COLUMNS)
        self._file.flush()

    def observe(self, target: str, event: Event) -> None:
        """
        Write one.
        """
        self._writer.writerow(_row(target, event))
        self._file.flush()

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Say nothing more.
        """


def writerFor(settings: Any, file: TextIO = sys.stdout) -> Any:
    """
    Give the writer that was asked for.
    """
    if settings.jsonLines:
        return JsonLines(file)
    if settings.csv:
        return Csv(file)
    return Json(file) if settings.json else Text(file)
