"""
Work that can be stopped at any time.
"""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred

Found = TypeVar("Found")


class Stoppable:
    """
    Work in steps, one after the other.

    :ivar isStopped: whether to do no further step.
    """

    isStopped = False
    _current: Deferred[Any] | None = None

    def run(self) -> Deferred[int]:
        """
        Do all of the work.

        :return: a ``Deferred`` that fires with the exit status.
        """
        return ensureDeferred(self._run())

    async def _run(self) -> int:
        raise NotImplementedError

    async def _step(self, step: Deferred[Found]) -> Found:
        """
        Wait for one step.

        :raise CancelledError: the work was stopped.
        """
        self._current = step
        try:
            return await step
        finally:
            self._current = None

    def stop(self) -> None:
        """
        End at once, even in the middle of a step, and report what is known.
        """
        self.isStopped = True
        if self._current is not None:
            self._current.cancel()
