"""
``echoprobe ping``: send probes to targets, and report their outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import gatherResults

from echotwist.probe.alarm import alarm
from echotwist.probe.kinds import COURTEOUS
from echotwist.probe.measurement import Measurement, sourceText
from echotwist.probe.result import resultOf
from echotwist.probe.schedule import SECOND, Schedule
from echotwist.probe.session import Session
from echotwist.probe.settings import PingSettings
from echotwist.probe.target import Target
from echotwist.probe.verdict import Verdict, verdictOf
from echotwist.reactors import IReactor


class Ping(Measurement[Session]):
    """
    A measurement of some targets at the same time; see
    :class:`echotwist.probe.measurement.Measurement`.
    """

    schema = "echoprobe-ping"

    def __init__(
        self, reactor: IReactor, settings: PingSettings, targets: Sequence[Target], writer: Any
    ) -> None:
        super().__init__(reactor, settings, targets, writer)
        self._settings = settings
        if SECOND / settings.period > COURTEOUS:
            self._checkCourtesy(f"more than {COURTEOUS:,} probes a second")
        self._openAll()

    def _exchange(self, number: int) -> Session:
        settings, target, place = self._settings, self._targets[number], self._places[number]
        period = settings.period
        self._try(target, place)
        return Session(
            self._transport(target, place, wantsStamps=True),
            Schedule(
                period,
                settings.count,
                None if settings.duration is None else settings.duration * SECOND,
                # Targets take turns.
                period * number / len(self._targets),
            ),
            self._payload(),
            self._timeout,
            int((self._timeout + SECOND) / period),
            partial(alarm, self._reactor),
            self._observer(str(target)),
            isAlone=len(self._targets) == 1,
        )

    def run(self) -> Any:
        """
        Measure.

        :return: a ``Deferred`` that fires with the exit status.
        """
        self._begin()
        for session in self._exchanges:
            session.start()
        done = gatherResults([session.finished for session in self._exchanges])
        return done.addCallback(lambda _: self._end())

    def _result(self, number: int) -> dict[str, Any]:
        return resultOf(self._exchanges[number], self._about(number))

    def _verdicts(self) -> list[Verdict]:
        return [verdictOf(text) for text in self._settings.failIf]

    def _about(self, number: int) -> Mapping[str, Any]:
        return {
            **super()._about(number),
            "source": sourceText(self._exchanges[number].transport.source),
            "intervalNs": round(self._settings.period),
        }
