"""
``echoprobe load``: keep targets under load, one after the other, and report what they
carried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed

from echotwist.probe.alarm import alarm
from echotwist.probe.dialing import makeRoom
from echotwist.probe.load.loop import ClosedLoop
from echotwist.probe.load.result import METRICS, resultOf
from echotwist.probe.load.settings import LoadSettings
from echotwist.probe.measurement import Measurement
from echotwist.probe.schedule import SECOND
from echotwist.probe.target import Target
from echotwist.probe.verdict import Verdict, verdictOf
from echotwist.reactors import IReactor

#: Descriptors that a connection needs, with the one that watches it, and those of the process.
_EACH, _BESIDES = 2, 64


class Load(Measurement[ClosedLoop]):
    """
    A measurement of what some targets carry; see
    :class:`echotwist.probe.measurement.Measurement`.
    """

    schema = "echoprobe-load"

    def __init__(
        self, reactor: IReactor, settings: LoadSettings, targets: Sequence[Target], writer: Any
    ) -> None:
        super().__init__(reactor, settings, targets, writer)
        self._settings = settings
        self._checkCourtesy("a flood")
        makeRoom(_EACH * settings.connections + _BESIDES)
        self._openAll()

    def _exchange(self, number: int) -> ClosedLoop:
        settings, target, place = self._settings, self._targets[number], self._places[number]
        self._try(target, place)
        connections, inFlight = self._shape(target)
        return ClosedLoop(
            [self._transport(target, place, wantsStamps=False) for _ in range(connections)],
            inFlight,
            settings.count,
            settings.nanoseconds,
            round(settings.warmup * SECOND),
            self._payload(),
            self._timeout,
            partial(alarm, self._reactor),
            self._observer(str(target)),
        )

    def _shape(self, target: Target) -> tuple[int, int]:
        """
        Tell how many connections there are, and how many messages are under way on each.

        Each raw socket of an address gets the packets for all its raw sockets: so use only one.
        """
        count, each = self._settings.connections, self._settings.inFlight
        return (1, count * each) if target.kind == "raw" else (count, each)

    def run(self) -> Any:
        """
        Measure.

        :return: a ``Deferred`` that fires with the exit status.
        """
        self._begin()
        done: Deferred[Any] = succeed(None)
        for loop in self._exchanges:
            done.addCallback(self._runOne, loop)
        return done.addCallback(lambda _: self._end())

    def _runOne(self, _: object, loop: ClosedLoop) -> Deferred[Any]:
        if not loop.finished.called:
            loop.start()
        return loop.finished

    def _result(self, number: int) -> dict[str, Any]:
        return resultOf(self._exchanges[number], self._about(number))

    def _verdicts(self) -> list[Verdict]:
        return [verdictOf(text, METRICS) for text in self._settings.failIf]

    def _about(self, number: int) -> Mapping[str, Any]:
        connections, inFlight = self._shape(self._targets[number])
        return {
            **super()._about(number),
            "connections": connections,
            "inFlight": inFlight,
            "warmupNs": round(self._settings.warmup * SECOND),
        }
