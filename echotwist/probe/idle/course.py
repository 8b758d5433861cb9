"""
A search that runs: flows that are silent side by side, round after round.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from time import time_ns
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, gatherResults
from twisted.internet.task import deferLater

from echotwist.probe.idle.search import Search, Trial

#: Seconds to wait before a service that does not answer is asked again, the second twice
#: as long and so on, up to the most; and for how long in all.
_AGAIN, _MOST, PATIENCE = 1.0, 60.0, 600.0


class NoAnswer(Exception):
    """
    A flow that was never silent got no answer; its text is the reason.
    """


@frozen
class Ending:
    """
    How a flow ended.

    :param kind: a word: ``silence``, ``reset``, ``closed``, ``icmp`` or ``error``.
    :param reason: in more words.
    """

    kind: str
    reason: str


@frozen
class Outcome:
    """
    What became of a flow.

    :param silence: nanoseconds for which it was silent, or until when it ended.
    :param ending: how it ended, if it did.
    """

    silence: int
    ending: Ending | None = None


class Course:
    """
    Run a search.

    :param reactor: waits (``IReactorTime``).
    :param search: says what to try.
    :param attempt: has one flow be silent for so many nanoseconds, and says what became of
        it; raises :class:`NoAnswer`.
    :param control: asks the service on a new flow; raises :class:`NoAnswer`.
    :param told: is called after each trial.
    :ivar fault: why nothing is learnt at the moment; nothing if it is.
    """

    def __init__(
        self,
        reactor: Any,
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
        Search until all is known, the service is gone, or somebody stops it.
        """
        self._running = ensureDeferred(self._run())
        return self._running.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def stop(self) -> None:
        """
        Leave it at what is known.
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

        :return: whether anything is known now that was not known before.
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
            if outcome.ending:  # Is it the flow that is gone, or the service?
                await self._control()
        except CancelledError:
            return
        except NoAnswer as error:  # That tells nothing of the silence.
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
