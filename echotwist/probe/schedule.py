"""
Schedule when to send probes (pure).
"""

from __future__ import annotations

from math import ceil, inf

#: Nanoseconds of a second.
SECOND = 10**9


class Schedule:
    """
    Turns at equal intervals: the n-th turn is due n intervals after the start, even if earlier
    turns were late.

    A late turn is still taken.  Turns that are late by more than a second and by more than an
    interval are skipped: a process that was stopped for an hour does not send the probes of
    that hour at once.

    :cvar stale: the nanoseconds of that second.
    :param interval: nanoseconds from one turn to the next.
    :param count: how many turns there are; ``None`` for any number.
    :param duration: nanoseconds in which turns are due; ``None`` for ever.
    :param phase: nanoseconds from the start to the first turn.
    :ivar interval: the same.
    :ivar skipped: how many turns were skipped.
    :ivar at: when the next turn is due; ``None`` if there is none.
    """

    stale = SECOND

    def __init__(
        self,
        interval: float,
        count: int | None = None,
        duration: float | None = None,
        phase: float = 0.0,
    ) -> None:
        self.interval = interval
        self._left = count
        self._duration = duration
        self._phase = phase
        self._start: int | None = None
        self._turn = 0
        self.skipped = 0
        self.at: int | None = None

    def begin(self, now: int) -> None:
        """
        Start.
        """
        self._start = now
        self.at = self._next()

    def _next(self) -> int | None:
        after = self._phase + self._turn * self.interval
        isOver = self._duration is not None and after >= self._duration
        if self._start is None or self._left == 0 or isOver:
            return None
        return self._start + round(after)

    @property
    def _rest(self) -> int | float:
        """
        How many turns are to come by the duration, whatever the count.
        """
        if self._duration is None:
            return inf
        return ceil((self._duration - self._phase) / self.interval) - self._turn

    def due(self, now: int) -> int | None:
        """
        Take the next turn, if it is due.

        :return: when it was due; ``None`` if no turn is due yet.
        """
        at = self.at
        if at is None or at > now:
            return None
        if now - at > max(self.stale, self.interval):
            missed = int(min((now - at) // self.interval, self._rest))
            self._turn += missed
            self.skipped += missed
            self.at = self._next()
            return self.due(now)
        self._turn += 1
        if self._left is not None:
            self._left -= 1
        self.at = self._next()
        return at
