"""
Find workers that do not answer.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from echotwist.workers.process import WorkerProcess

#: Seconds between two checks that the workers live.
CHECK_INTERVAL = 30.0

#: Seconds that a worker may take to answer.  Only seconds in which the parent itself
#: runs count: if all processes are stopped together, no worker is killed.
SILENT_SECONDS = 10

#: The same for a worker that does not serve yet.
START_SECONDS = 120


class LivenessCheck:
    """
    Ask all workers again and again, and kill those that do not answer.

    :param clock: the clock (``IReactorTime``).
    :param ask: asks all running workers; its ``Deferred`` fires when each has answered
        or its time is over.
    :param end: kills a worker.
    """

    def __init__(
        self,
        clock: IReactorTime,
        ask: Callable[[], Deferred[list[WorkerProcess]]],
        end: Callable[[WorkerProcess], object],
    ) -> None:
        self._clock = clock
        self._ask = ask
        self._end = end
        self._next: IDelayedCall | None = None
        self._isRunning = self._isAsking = False

    def start(self) -> None:
        """
        Start, after a pause.
        """
        self._isRunning = True
        self._next = self._clock.callLater(CHECK_INTERVAL, self.check)

    def stop(self) -> None:
        """
        Stop asking.
        """
        self._isRunning = False
        self._cancel()

    def check(self) -> None:
        """
        Ask now, unless answers are still due.
        """
        if self._isRunning and not self._isAsking:
            self._isAsking = True
            self._cancel()
            self._ask().addCallback(self._answered)

    def _answered(self, workers: list[WorkerProcess]) -> None:
        self._isAsking = False
        silent = [worker for worker in workers if worker.isSilent()]
        for worker in silent:
            if worker.silence == (SILENT_SECONDS if worker.isServing else START_SECONDS):
                self._end(worker)
        if self._isRunning:
            self._next = self._clock.callLater(0 if silent else CHECK_INTERVAL, self.check)

    def _cancel(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
