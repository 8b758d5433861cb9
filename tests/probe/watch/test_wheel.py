"""
One alarm for many, with a clock that the tests turn.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis.strategies import integers, lists, none, one_of, tuples
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.watch.wheel import Wheel
from tests.support.alarm import Alarm
from tests.support.probing import bounded

#: Who sets an alarm, and to when, or to never.
SETTINGS = lists(tuples(integers(0, 4), one_of(none(), integers(0, 100))), max_size=60)


class WheelTests(SynchronousTestCase):
    """
    Tests for :class:`Wheel`.
    """

    def wheel(self) -> Wheel:
        """
        Begin at 0.
        """
        self.now = 0
        self.alarm = Alarm()

        def alarm(ring: Callable[[], None]) -> Alarm:
            self.ring = ring
            return self.alarm

        return Wheel(alarm, lambda: self.now)

    def turnTo(self, now: int) -> None:
        """
        Let it be some time, ringing on the way whenever that was asked for.
        """
        while self.alarm.at is not None and self.alarm.at <= now:
            self.now = max(self.now, self.alarm.at)
            self.alarm.at = None
            self.ring()
        self.now = now

    @bounded
    @given(SETTINGS)
    def test_last(self, settings: list[tuple[int, int | None]]) -> None:
        """
        Each rings once, at the time that it was set to last, the earlier one first.
        """
        wheel = self.wheel()
        rung: list[tuple[int, int]] = []
        turns = [
            wheel.turn(lambda number=number: rung.append((self.now, number)))  # type: ignore[misc]
            for number in range(5)
        ]
        wanted: dict[int, int | None] = {}
        for number, at in settings:
            turns[number].set(at)
            wanted[number] = at
        self.turnTo(1000)
        expected = sorted((at, number) for number, at in wanted.items() if at is not None)
        self.assertEqual(sorted(rung), expected)
        self.assertTrue(all(one[0] <= other[0] for one, other in pairwise(rung)))
        self.assertEqual((len(wheel), self.alarm.at), (0, None))

    def test_again(self) -> None:
        """
        One that wants to ring at once does so when the others have had their turn.
        """
        wheel = self.wheel()
        rung: list[str] = []

        def again() -> None:
            rung.append("again")
            if len(rung) < 4:
                one.set(self.now)

        one = wheel.turn(again)
        one.set(10)
        wheel.turn(lambda: rung.append("other")).set(10)
        self.turnTo(10)
        self.assertEqual(rung, ["again", "other", "again", "again"])

    def test_bounded(self) -> None:
        """
        However often each is set later, there is one entry for each.
        """
        wheel = self.wheel()
        turns = [wheel.turn(lambda: None) for _ in range(10)]
        for number in range(10_000):
            turns[number % 10].set(100 + number)
        self.assertEqual(len(wheel), 10)
