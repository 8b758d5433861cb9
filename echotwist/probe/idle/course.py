"""
Run a search: flows that are silent at the same time, round after round.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from time import time_ns
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from echotwist.probe.idle.search import Search, Trial

#: Seconds to wait before the probe asks a silent service again; each pause is twice as long as
#: the one before, up to a maximum; and the seconds of all pauses together.
_AGAIN, _MOST, PATIENCE = 1.0, 60.0, 600.0


class NoAnswer(Exception):
    """
    A flow without a silence got no answer; the text is the reason.
    """


@frozen
class Ending:
    """
    How a flow ended.

    :param kind: a word: ``silence``, ``reset``, ``closed``, ``icmp`` or ``error``.
    :param reason: the cause in a few words.
    """

    kind: str
    reason: str


@frozen
class Outcome:
    """
    The outcome of a flow.

    :param silence: nanoseconds of silence, until the probe asked or the flow ended.
    :param ending: how the flow ended; ``None`` if it survived.
    """

    silence: int
    ending: Ending | None = None


class Course:
    """
    Run a search.

    :param reactor: waits (``IReactorTime``).
    :param search: chooses the silences to try.
    :param attempt: keeps one flow silent for some nanoseconds, and returns the outcome; raises
        :class:`NoAnswer`.
    :param control: asks the service on a new flow; raises :class:`NoAnswer`.
    :param told: called after each trial.
    :ivar fault: why the latest round found nothing; ``None`` if it found something.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        search: Search,
        attempt: Callable[[int], Coroutine[Any, Any, Outcome]],
        control: Callable[[], Coroutine[Any, Any, None]],
        told: Callable[[Trial], None],
        wall: Callable[[], int] = time_ns,
    ) -> None:
        self._reactor = reactor
        self.search = search
        self._attempt, self._control = attempt, control
        self._told = told
        self._wall = wall
        self._flows: dict[int, Deferred[None]] = {}
        self._faults: list[str] = []
        self._isStopped = False
        self.fault: str | None = None

    def start(self) -> Deferred[None]:
        """
        Search until the result is exact, the service is gone, or :meth:`stop` is called.
        """
        self._running = ensureDeferred(self._run())
        return self._running.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def stop(self) -> None:
        """
        End the search, and keep what is known.
        """
        self._isStopped = True
        self._running.cancel()

    async def _run(self) -> None:
        pause, patience = _AGAIN, 0.0
        while not (self.search.isDone or self._isStopped):
            if await self._round():
                pause, patience = _AGAIN, PATIENCE
            elif patience <= 0 or self._isStopped:
                return
            else:
                await deferLater(self._reactor, pause, lambda: None)
                patience -= pause
                pause = min(2 * pause, _MOST)

    async def _round(self) -> bool:
        """
        Try some silences at the same time, if the service answers.

        :return: whether the round found anything.
        """
        before = len(self.search.trials)
        try:
            await self._control()
        except NoAnswer as error:
            self.fault = str(error)
            return False
        self._flows, self._faults = {}, []
        for silence in self.search.plan():
            self._flows[silence] = ensureDeferred(self._try(silence))
        await gatherResults(list(self._flows.values()))
        isFruitful = len(self.search.trials) > before
        self.fault = None if isFruitful or not self._faults else self._faults[0]
        return isFruitful

    async def _try(self, silence: int) -> None:
        try:
            outcome = await self._attempt(silence)
            if outcome.ending:  # Is the flow gone, or the service?
                await self._control()
        except CancelledError:
            return
        except NoAnswer as error:  # The service is gone: the silence may have been harmless.
            self._faults.append(str(error))
            return
        trial = self._trialOf(silence, outcome)
        self.search.note(trial)
        self._told(trial)
        for other, flow in self._flows.items():
            if other != silence and not self.search.matters(other):
                flow.cancel()

    def _trialOf(self, silence: int, outcome: Outcome) -> Trial:
        ending, round, at = outcome.ending, self.search.round, self._wall()
        if ending is None:
            return Trial(silence, round, settledAt=at)
        took = self.search.rounded(outcome.silence, silence)
        return Trial(took, round, ending.kind, ending.reason, at)
