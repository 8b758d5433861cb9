"""
``echoprobe idle``: find out how long a path keeps silent flows.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, FirstError, ensureDeferred, gatherResults
from twisted.python.failure import Failure

from echotwist.commandline.versions import program
from echotwist.probe.dialing import opened
from echotwist.probe.drawing import Drawing
from echotwist.probe.idle.course import Course, NoAnswer
from echotwist.probe.idle.flow import (
    Asked,
    DatagramFlow,
    Flow,
    StreamFlow,
    StreamingFlow,
    attempt,
    control,
)
from echotwist.probe.idle.plot import draw
from echotwist.probe.idle.result import METRICS, resultOf, trialOf
from echotwist.probe.idle.search import Search, Trial
from echotwist.probe.idle.settings import IdleSettings
from echotwist.probe.idle.state import State
from echotwist.probe.kinds import SIZE
from echotwist.probe.payload import Payload
from echotwist.probe.places import Place, ProbeError, find
from echotwist.probe.result import exitStatus
from echotwist.probe.schedule import SECOND
from echotwist.probe.target import Target
from echotwist.probe.verdict import verdictOf
from echotwist.reactors import IReactor

#: The version of the report of ``--json``; see :data:`echotwist.probe.result.VERSION`.
VERSION = 1


def now() -> int:
    """
    Return nanoseconds of a steady clock, which also counts while the machine sleeps, where
    there is one.
    """
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Pursuit:
    """
    The search for one target in one mode.

    :param about: the description of the search, for its result.
    """

    def __init__(self, about: dict[str, Any], asked: Asked, course: Course) -> None:
        self._about, self._asked = about, asked
        self.course = course

    def result(self) -> dict[str, Any]:
        """
        Return the present report.
        """
        return {
            **resultOf(self.course.search, self._about),
            "sent": self._asked.sent,
            "back": self._asked.back,
            "fault": None if self.course.search.isDone else self.course.fault,
        }


class Idle:
    """
    The searches for some targets, at the same time.

    :param reactor: the reactor.
    :param targets: the targets to probe.
    :param writer: writes the results; see :mod:`echotwist.probe.idle.text`.
    :raise ProbeError: a target cannot be measured, or its socket cannot be opened.
    """

    def __init__(
        self, reactor: IReactor, settings: IdleSettings, targets: Sequence[Target], writer: Any
    ) -> None:
        self._reactor, self._settings, self._writer = reactor, settings, writer
        self._seed = secrets.token_hex(8)
        self._drawing = None if settings.plot is None else Drawing(settings.plot)
        self._places = [(target, self._find(target)) for target in targets]
        self._state = None
        if settings.state is not None:
            self._state = State(settings.state, [str(target) for target in targets])
        self._pursuits: list[Pursuit] = []
        self._isStopped = False

    def _find(self, target: Target) -> Place:
        if target.kind not in ("udp", "tcp"):
            raise ProbeError(f"{target}: idle measures UDP and TCP only")
        if not self._settings.modesOf(target.kind):
            raise ProbeError(f"{target}: none of its modes is among those of --only")
        place = find(target, self._settings.way)
        opened(target, place, self._settings.way).close()  # Report errors at the start.
        return place

    def run(self) -> Deferred[int]:
        """
        Run all searches.

        :return: a ``Deferred`` that fires with the exit status.
        """
        searches = [self._searchAll(*one) for one in self._places]
        done = gatherResults([one for some in searches for one in some])
        return done.addCallbacks(lambda _: self._end(), _causeOf)

    def _searchAll(self, target: Target, place: Place) -> list[Deferred[None]]:
        modes = self._settings.modesOf(target.kind)
        streams = [mode for mode in modes if mode in ("silent", "keepalive")]
        found = [self._search(target, place, mode) for mode in modes if mode not in streams]
        return [*found, ensureDeferred(self._one(target, place, streams))] if streams else found

    def _search(self, target: Target, place: Place, mode: str) -> Deferred[None]:
        settings = self._settings
        first, longest = round(settings.first * SECOND), round(settings.longest * SECOND)
        return self._pursue(target, place, mode, first, longest, None).course.start()

    async def _one(self, target: Target, place: Place, modes: list[str]) -> None:
        """
        Measure one target: first without keepalives, then with them if a silence was too long.
        """
        settings = self._settings
        first, longest = round(settings.first * SECOND), round(settings.longest * SECOND)
        every = settings.keepalive
        if "silent" in modes:
            pursuit = self._pursue(target, place, "silent", first, longest, None)
            await pursuit.course.start()
            search = pursuit.course.search
            if not search.isDone or search.ended is None:
                return
            first, longest = search.ended.silence, 2 * search.ended.silence
            every = every or max(1, search.survived // (2 * SECOND))
        if "keepalive" in modes and not self._isStopped:
            await self._pursue(target, place, "keepalive", first, longest, every).course.start()

    def _pursue(
        self,
        target: Target,
        place: Place,
        mode: str,
        first: int,
        longest: int,
        keepalive: int | None,
    ) -> Pursuit:
        settings, key = self._settings, (str(target), mode, keepalive)
        asked = Asked(self._reactor, Payload(self._seed.encode(), SIZE), settings.timeout)
        known = self._state.trials(key) if self._state else []
        search = Search(first, longest, round(settings.precision * SECOND), settings.flows, known)
        about = {
            "target": str(target),
            "kind": target.kind,
            "address": str(place),
            "mode": mode,
            "keepaliveNs": None if keepalive is None else keepalive * SECOND,
            "firstNs": first,
            "longestNs": longest,
            "precisionNs": round(settings.precision * SECOND),
            "timeoutNs": round(settings.timeout * SECOND),
            "beganNs": min((one.settledAt - one.silence for one in known), default=time.time_ns()),
        }

        def open(isControl: bool) -> Flow:
            try:
                one = opened(target, place, settings.way)
            except ProbeError as error:
                raise NoAnswer(str(error)) from None
            if target.kind == "tcp":
                return StreamFlow(asked, one, place, keepalive)
            kind = StreamingFlow if mode == "stream" and not isControl else DatagramFlow
            return kind(asked, one, place)

        def told(trial: Trial) -> None:
            if self._state:
                self._state.keep(key, search.trials)
            self._writer.tell({"target": str(target), "mode": mode, **trialOf(trial)})

        course = Course(
            self._reactor,
            search,
            partial(attempt, partial(open, False), now),
            partial(control, partial(open, True)),
            told,
        )
        self._pursuits.append(Pursuit(about, asked, course))
        return self._pursuits[-1]

    def stop(self) -> None:
        """
        End, even if flows are still silent.
        """
        self._isStopped = True
        for pursuit in self._pursuits:
            pursuit.course.stop()

    def _end(self) -> int:
        report = self.report()
        self._writer.end(report)
        if self._drawing is not None:
            self._drawing.save(report["results"], draw)
        return int(report["status"])

    def report(self) -> dict[str, Any]:
        """
        Return the present report.
        """
        results = [one.result() for one in self._pursuits]
        verdicts = [verdictOf(text, METRICS) for text in self._settings.failIf]
        judged = [verdict.judge(result) for verdict in verdicts for result in results]
        return {
            "schema": "echoprobe-idle",
            "version": VERSION,
            "program": program(),
            "results": results,
            "verdicts": judged,
            "status": exitStatus(judged, any(map(_isSilent, results))),
        }


def _isSilent(result: Mapping[str, Any]) -> bool:
    """
    Tell whether a service does not answer, or never did until somebody stopped the search.
    """
    isUnheard = result["sent"] and not result["back"] and not result["trials"]
    return bool(result["fault"] or isUnheard)


def _causeOf(failure: Failure) -> Failure:
    """
    Return the cause of the first failure among several coroutines.
    """
    while isinstance(failure.value, FirstError):
        failure = failure.value.subFailure
    return failure
