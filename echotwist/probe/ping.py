"""
``echoprobe ping``: sends probes to targets, and tells what became of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import gatherResults

from echotwist.probe.alarm import alarm
from echotwist.probe.kinds import COURTEOUS
from echotwist.probe.measurement import Measurement, sourceText
from echotwist.probe.places import ProbeError
from echotwist.probe.result import resultOf
from echotwist.probe.schedule import SECOND, Schedule
from echotwist.probe.session import Session
from echotwist.probe.settings import PingSettings
from echotwist.probe.target import Target
from echotwist.probe.verdict import Verdict, verdictOf


class Ping(Measurement):
    """
    A measurement of some targets at the same time; see
    :class:`echotwist.probe.measurement.Measurement`.
    """

    schema = "echoprobe-ping"

    def __init__(
        self, reactor: Any, settings: PingSettings, targets: Sequence[Target], writer: Any
    ) -> None:
        super().__init__(reactor, settings, targets, writer)
        self._settings = settings
        self._sessions: list[Session] = []
        self._checkCourtesy()
        try:
            for number in range(len(targets)):
                self._sessions.append(self._session(number))
        except ProbeError:
            for session in self._sessions:
                session.transport.close()
            raise
        self._exchanges = [*self._sessions]

    def _checkCourtesy(self) -> None:
        isFast = SECOND / self._settings.period > COURTEOUS
        for target, place in zip(self._targets, self._places, strict=True):
            if isFast and not place.isNear and not self._settings.flood:
                raise ProbeError(
                    f"{target}: more than {COURTEOUS:,} probes a second to an address that is "
                    "neither loopback nor private; --flood says that its owner knows"
                )

    def _session(self, number: int) -> Session:
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
            self._observer(target),
        )

    def run(self) -> Any:
        """
        Measure.

        :return: a ``Deferred`` that fires with the exit status.
        """
        self._begin()
        for session in self._sessions:
            session.start()
        done = gatherResults([session.finished for session in self._sessions])
        return done.addCallback(lambda _: self._end())

    def _results(self) -> list[dict[str, Any]]:
        return [
            resultOf(session, self._about(number)) for number, session in enumerate(self._sessions)
        ]

    def _verdicts(self) -> list[Verdict]:
        return [verdictOf(text) for text in self._settings.failIf]

    def _about(self, number: int) -> Mapping[str, Any]:
        return {
            **super()._about(number),
            "source": sourceText(self._sessions[number].transport.source),
            "intervalNs": round(self._settings.period),
        }
