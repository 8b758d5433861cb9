"""
Timeouts for connections that make no progress.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: How many checks there are within one timeout.
CHECKS = 8

#: Seconds until the first check: most connections have ended by then, and need no other
#: check.
FIRST_CHECK = 0.25

Watched = TypeVar("Watched", bound=Hashable)


class InactivityTimeout(Generic[Watched]):
    """
    End connections that have made no progress for too long.

    It wakes the process only while there are connections to watch.

    :param seconds: the timeout; 0 for never.
    :param progress: returns the connections to watch now, each with its progress.
    :param end: ends a connection.
    :param reactor: the clock (``IReactorTime``).
    :param isNeeded: tells whether to check again.
    """

    def __init__(
        self,
        seconds: float,
        progress: Callable[[], Mapping[Watched, int]],
        end: Callable[[Watched], object],
        reactor: IReactorTime,
        isNeeded: Callable[[], bool],
    ) -> None:
        self._seconds = seconds
        self._progress = progress
        self._end = end
        self._reactor = reactor
        self._isNeeded = isNeeded
        self._pause = seconds / CHECKS
        self._next: IDelayedCall | None = None
        #: The progress of each connection, and since when it has stood there.
        self._seen: dict[Watched, tuple[int, float]] = {}

    def start(self) -> None:
        """
        Start the checks, unless they run already.
        """
        if self._seconds and self._next is None:
            self._next = self._reactor.callLater(min(FIRST_CHECK, self._pause), self._check)

    def isChecking(self) -> bool:
        """
        Tell whether the checks run.
        """
        return self._next is not None

    def stop(self) -> None:
        """
        Stop the checks, until they are started again.
        """
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def forget(self, one: Watched) -> None:
        """
        Forget a closed connection, so that its objects are freed.
        """
        self._seen.pop(one, None)

    def expired(self, progress: Mapping[Watched, int]) -> list[Watched]:
        """
        Return the connections that made no progress for too long.

        :param progress: the progress of each connection.  A number that falls is no
            progress, but the next step is counted from there.  Connections that are no
            longer in it are forgotten.
        """
        now = self._reactor.seconds()
        before, self._seen = self._seen, {}
        for one, mark in progress.items():
            sawMark, since = before.get(one, (mark, now))
            self._seen[one] = (mark, since if mark <= sawMark else now)
        return [one for one, (_, since) in self._seen.items() if now - since >= self._seconds]

    def _check(self) -> None:
        self._next = None
        try:
            for one in self.expired(self._progress()):
                self._end(one)
        finally:
            # A cancelled call would still wake some reactors.
            if self._next is None and self._isNeeded():
                self._next = self._reactor.callLater(self._pause, self._check)
