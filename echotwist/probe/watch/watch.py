"""
``echoprobe watch``: probe all targets of a file without end, and read the file again.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from echotwist.probe.alarm import alarm
from echotwist.probe.dialing import makeRoom
from echotwist.probe.kinds import COURTEOUS
from echotwist.probe.measurement import Measurement, carrier, check, sourceText
from echotwist.probe.payload import Payload
from echotwist.probe.places import Place, ProbeError
from echotwist.probe.result import resultOf
from echotwist.probe.schedule import SECOND
from echotwist.probe.verdict import verdictOf
from echotwist.probe.watch.file import Entry, entriesIn
from echotwist.probe.watch.located import Located, Lookups, isNamed, placeOf
from echotwist.probe.watch.pages import Metrics
from echotwist.probe.watch.pool import Sockets
from echotwist.probe.watch.settings import WatchSettings
from echotwist.probe.watch.watched import Here, Watched, stampsFor
from echotwist.probe.watch.wheel import Wheel
from echotwist.reactors import IReactor

#: The golden ratio spreads the first turns evenly, whatever the number of targets.
_SECTION = 0.6180339887498949


#: Descriptors of a target that shares no socket, and those of the process.
_EACH, _BESIDES = 3, 64


def _isShared(entry: Entry) -> bool:
    """
    Tell whether a target can share its socket with others.
    """
    return entry.target.kind == "udp" and not entry.settings.interface


def _socketsFor(entries: Sequence[Entry]) -> int:
    """
    Count the sockets that targets need: those that share one have different addresses, and
    leave this host the same way.
    """
    shared = [one for one in entries if _isShared(one)]
    targets, ways = {one.target for one in shared}, {one.settings.way for one in shared}
    return len(entries) - len(targets) + len(ways)


class Watch(Measurement[Watched]):
    """
    Watch the targets of a file; see :class:`echotwist.probe.measurement.Measurement`.

    :param path: the path of the file.
    :ivar watched: the targets by name.
    :ivar sockets: the shared sockets.
    :ivar here: measurements of this host and process.
    :ivar isReady: each address was looked up once, and the watch has not been stopped.
    :ivar reloads: how many reloads were ``done``, and how many ``failed``.
    :ivar isFileGood: the latest reload succeeded.
    """

    schema = "echoprobe-watch"

    def __init__(self, reactor: IReactor, settings: WatchSettings, path: str, writer: Any) -> None:
        self._path, self._settings = path, settings
        entries = entriesIn(path, settings)
        self._checkAll(entries)
        super().__init__(reactor, settings, (), writer)
        self._wheel = Wheel(partial(alarm, reactor))
        self._lookups = Lookups(reactor)
        self._payloads: dict[tuple[int, bytes | None], Payload] = {}
        self._turns = self._unfinished = 0
        self._isRunning = False
        self._done: Deferred[int] = Deferred()
        self.sockets = Sockets(reactor, self._wheel)
        self.here = Here()
        self.watched: dict[str, Watched] = {}
        self.reloads: Counter[str] = Counter()
        self.isFileGood = True
        for entry in entries:
            self._add(entry)
        self._pages = None
        if settings.metrics is not None:
            self._pages = Metrics(reactor, self, settings.metrics, self._say)

    # The targets

    def _checkAll(self, entries: Sequence[Entry]) -> None:
        """
        Check that all targets may be watched.

        :raise ProbeError: a target may not be watched.
        """
        makeRoom(_EACH * _socketsFor(entries) + _BESIDES)
        rates: Counter[str] = Counter()
        for entry in entries:
            if entry.target.host:
                rates[entry.target.host] += SECOND / entry.settings.period  # type: ignore[assignment]
        self._flooded = {host for host, rate in rates.items() if rate > COURTEOUS}
        for entry in entries:
            if not isNamed(entry):
                place = placeOf(entry)
                if isinstance(place, ProbeError):
                    raise place
                self._checkOne(entry, place)

    def _checkOne(self, entry: Entry, place: Place) -> None:
        check(entry.settings, entry.target, place)
        isFlood = entry.target.host in self._flooded and not place.isNear
        if isFlood and not self._settings.flood:
            raise ProbeError(
                f"{entry.target}: more than {COURTEOUS:,} probes a second to an address that is "
                "neither loopback nor private; --flood says that its owner knows"
            )

    def _add(self, entry: Entry) -> None:
        self._turns += 1
        self._unfinished += 1
        settings = entry.settings
        transport = Located(
            partial(self._lookups.ask, entry),
            partial(self._carry, entry),
            partial(self._keptFrom, entry),
        )
        self.watched[entry.name] = Watched(
            entry,
            transport,
            self._payloadOf(settings),
            self._turns * _SECTION % 1,
            self._wheel.turn,
            self.here,
            self._observer(entry.name),
        )

    def _payloadOf(self, settings: WatchSettings) -> Payload:
        """
        Return the payload that targets of the same size share: its noise takes 64 KiB.
        """
        size, fill = settings.bytes, settings.fill()
        if (size, fill) not in self._payloads:
            seed = self._seed.encode("utf-8", "surrogateescape")
            self._payloads[size, fill] = Payload(seed, size, fill)
        return self._payloads[size, fill]

    def _carry(self, entry: Entry, place: Place) -> Any:
        """
        Open a transport to a target, or share an open socket.
        """
        self._checkOne(entry, place)
        target, settings = entry.target, entry.settings
        if _isShared(entry):
            return self.sockets.lane(target, place, settings.way, stampsFor(settings))
        return carrier(self._reactor, target, place, settings, True, stampsFor(settings))

    # Start and end

    def run(self) -> Deferred[int]:
        """
        Watch.

        :return: a ``Deferred`` that fires with the exit status.
        """
        self._exchanges = list(self.watched.values())
        self._begin()
        self._isRunning = True
        for one in self._exchanges:
            self._start(one)
        return self._done.addCallback(lambda _: self._end())

    def _names(self) -> Sequence[str]:
        return list(self.watched)

    def _start(self, one: Watched) -> None:
        one.finished.addCallback(self._finished)
        one.start()

    def _finished(self, _: object) -> None:
        self._unfinished -= 1
        if not self._unfinished:
            self._isRunning = False
            self._wheel.stop()
            if self._pages is not None:
                self._pages.stop()
            self._done.callback(0)

    @property
    def isReady(self) -> bool:
        """
        Whether all targets are being watched.
        """
        return self._isRunning and all(one.began for one in self.watched.values())

    def reload(self) -> None:
        """
        Read the file again: targets that did not change stay as they are.
        """
        if not self._isRunning:
            return
        try:
            entries = entriesIn(self._path, self._settings)
            self._checkAll(entries)
        except ProbeError as error:
            self.reloads["failed"] += 1
            self.isFileGood = False
            self._say(f"not reloaded: {error}; all targets stay as they were")
            return
        self.reloads["done"] += 1
        self.isFileGood = True
        self._take(entries)

    def _take(self, entries: Sequence[Entry]) -> None:
        before, wanted = self.watched, {entry.name: entry for entry in entries}
        self.watched = {}
        kept = 0
        for name, entry in wanted.items():
            if name in before and before[name].becomes(entry):
                self.watched[name] = before.pop(name)
                kept += 1
            else:
                self._add(entry)
        self._exchanges = list(self.watched.values())
        self._writer.take(self._exchanges, self._names())
        for gone in before.values():
            gone.finish()
        for one in self._exchanges:
            if not one.isStarted:
                self._start(one)
        counts = f"targets: {kept} unchanged, {len(wanted) - kept} new, {len(before)} gone"
        self._say(f"reloaded: {self._path}: {counts}")

    def _keptFrom(self, entry: Entry, why: str) -> None:
        """
        Report why no probes of a target can be sent.
        """
        name, target = entry.name, str(entry.target)
        self._say(why if name == target else f"{name}: {why}")

    def _say(self, text: str) -> None:
        with suppress(OSError):  # Standard error may be closed.
            print(f"echoprobe: {' '.join(text.split())}", file=sys.stderr, flush=True)

    # The results

    def report(self) -> dict[str, Any]:
        """
        Return the report of what is known so far.
        """
        self._exchanges = list(self.watched.values())
        return super().report()

    def _result(self, number: int) -> dict[str, Any]:
        one = self._exchanges[number]
        return {"name": one.entry.name, **resultOf(one, self._aboutOne(one))}

    def _aboutOne(self, one: Watched) -> Mapping[str, Any]:
        target, settings = one.entry.target, one.entry.settings
        return {
            "target": str(target),
            "kind": target.kind,
            "address": str(one.transport.place or ""),
            "source": sourceText(one.transport.source),
            "size": settings.bytes,
            "timeoutNs": round(settings.timeout * SECOND),
            "intervalNs": round(settings.period),
        }

    def _judged(self, results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [
            verdictOf(text).judge(result)
            for one, result in zip(self._exchanges, results, strict=True)
            for text in one.entry.settings.failIf
        ]
