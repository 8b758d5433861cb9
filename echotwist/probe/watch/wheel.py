"""
Share one alarm among many (pure).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from time import monotonic_ns
from typing import Any


class Wheel:
    """
    Set one alarm for many users.

    :param alarm: makes the alarm from the function that it calls.
    :param now: the clock of the alarm, in nanoseconds.
    """

    def __init__(
        self,
        alarm: Callable[[Callable[[], None]], Any],
        now: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._alarm = alarm(self._ring)
        self._now = now
        self._waiting: list[tuple[int, int, Turn]] = []
        self._order = count()
        self._at: int | None = None
        self._isRinging = False

    def turn(self, ring: Callable[[], None]) -> Turn:
        """
        Return an alarm of its own for one user.
        """
        return Turn(self, ring)

    def add(self, at: int, turn: Turn) -> None:
        """
        Ring a turn at a time, in nanoseconds.
        """
        heappush(self._waiting, (at, next(self._order), turn))
        if not self._isRinging:
            self._arrange()

    def stop(self) -> None:
        """
        Stop ringing.
        """
        self._waiting.clear()
        self._alarm.stop()

    def __len__(self) -> int:
        """
        Count the entries that wait, including entries that no longer count.
        """
        return len(self._waiting)

    def _arrange(self) -> None:
        at = self._waiting[0][0] if self._waiting else None
        if at != self._at:
            self._at = at
            self._alarm.set(at)

    def _ring(self) -> None:
        # A turn that is set again for now rings after all other turns.
        now, waiting = self._now(), self._waiting
        self._isRinging, self._at = True, None
        try:
            while waiting and waiting[0][0] <= now:
                at, _, turn = heappop(waiting)
                turn.ring(at, now)
        finally:
            self._isRinging = False
            self._arrange()


class Turn:
    """
    One user's alarm on a wheel.

    The wheel holds at most one entry for it, unless it was set to an earlier time than
    before.
    """

    def __init__(self, wheel: Wheel, ring: Callable[[], None]) -> None:
        self._wheel = wheel
        self._ring = ring
        self._at: int | None = None
        self._queued: int | None = None

    def set(self, at: int | None) -> None:
        """
        Ring at a time, in nanoseconds, or never (``None``); this replaces a time that was set
        before.
        """
        self._at = at
        if at is not None and (self._queued is None or at < self._queued):
            self._queued = at
            self._wheel.add(at, self)

    def stop(self) -> None:
        """
        Stop ringing.
        """
        self.set(None)

    def ring(self, queued: int, now: int) -> None:
        """
        Ring, if it is time.

        :param queued: the time of the entry that was due, in nanoseconds.
        """
        if queued != self._queued:
            return
        self._queued = None
        if self._at is not None and self._at > now:
            self.set(self._at)
        elif self._at is not None:
            self._at = None
            self._ring()
