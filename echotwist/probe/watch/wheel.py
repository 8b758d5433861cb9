"""
Share one alarm among many (pure).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from time import monotonic_ns
from typing import Any


class Wheel:
    """
    Set one alarm for many users.

    :param alarm: makes the alarm from the function that it calls.
    :param now: the clock of the alarm, in nanoseconds.
    :ivar turns: those that wait, by the times when they ring.
    """

    def __init__(
        self,
        alarm: Callable[[Callable[[], None]], Any],
        now: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._alarm = alarm(self._ring)
        self._now = now
        self._times: list[int] = []  # a heap
        self.turns: dict[int, list[Turn]] = {}
        self._at: int | None = None
        self._isRinging = False

    def turn(self, ring: Callable[[], None]) -> Turn:
        """
        Return an alarm of its own for one user.
        """
        return Turn(self, ring)

    def add(self, at: int, turn: Turn) -> None:
        """
        Ring a turn at a time, in nanoseconds, at which no other rings.
        """
        self.turns[at] = [turn]
        heappush(self._times, at)
        if not self._isRinging:
            self._arrange()

    def stop(self) -> None:
        """
        Stop ringing.
        """
        self._times.clear()
        self.turns.clear()
        self._alarm.stop()

    def __len__(self) -> int:
        """
        Count the entries that wait, including entries that no longer count.
        """
        return sum(map(len, self.turns.values()))

    def _arrange(self) -> None:
        at = self._times[0] if self._times else None
        if at != self._at:
            self._at = at
            self._alarm.set(at)

    def _ring(self) -> None:
        # A turn that is set again for now rings after all other turns.
        now, times = self._now(), self._times
        self._isRinging, self._at = True, None
        try:
            while times and times[0] <= now:
                at = heappop(times)
                for turn in self.turns.pop(at):
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
            others = self._wheel.turns.get(at)
            if others is None:
                self._wheel.add(at, self)
            else:  # Most targets have their turns together.
                others.append(self)

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
