"""
When a probe is to be sent.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import integers, lists
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.schedule import SECOND, Schedule
from tests.support.probing import bounded


def taken(schedule: Schedule, now: int) -> list[int]:
    """
    Take all turns that are due.
    """
    found = []
    while (due := schedule.due(now)) is not None:
        found.append(due)
    return found


class ScheduleTests(SynchronousTestCase):
    """
    Tests for :class:`Schedule`.
    """

    def test_notBefore(self) -> None:
        """
        Nothing is due before it began.
        """
        schedule = Schedule(SECOND)
        self.assertEqual((schedule.at, schedule.due(10**20)), (None, None))

    def test_rate(self) -> None:
        """
        Three a second are a million after a million thirds, to the nanosecond.
        """
        schedule = Schedule(SECOND / 3)
        schedule.begin(5)
        found = [due for third in range(3001) for due in taken(schedule, 5 + third * SECOND // 3)]
        self.assertEqual(len(found), 3001)
        self.assertEqual(found[3000], 5 + 1000 * SECOND)

    @bounded
    @given(lists(integers(0, SECOND), max_size=50))
    def test_late(self, waits: list[int]) -> None:
        """
        However late turns are taken, as long as it is not by more than a second: all
        are, at the time that they were due.
        """
        schedule, now = Schedule(SECOND // 10), 0
        schedule.begin(0)
        found = taken(schedule, 0)
        for wait in waits:
            now += wait
            found += taken(schedule, now)
        self.assertEqual(found, [n * SECOND // 10 for n in range(now * 10 // SECOND + 1)])
        self.assertEqual(schedule.skipped, 0)

    def test_stopped(self) -> None:
        """
        A process that was stopped for an hour does not send all of that hour at once.
        """
        schedule = Schedule(SECOND // 100)
        schedule.begin(0)
        taken(schedule, 0)
        self.assertEqual(taken(schedule, 3600 * SECOND), [3600 * SECOND])
        self.assertEqual(schedule.skipped, 360_000 - 1)

    def test_slow(self) -> None:
        """
        A turn in ten seconds may be late by nine.
        """
        schedule = Schedule(10 * SECOND)
        schedule.begin(0)
        self.assertEqual(taken(schedule, 9 * SECOND), [0])
        self.assertEqual(schedule.skipped, 0)

    def test_count(self) -> None:
        """
        There are as many turns as were asked for, also when some were left out.
        """
        schedule = Schedule(SECOND, count=3)
        schedule.begin(0)
        self.assertEqual(taken(schedule, 0), [0])
        self.assertEqual(len(taken(schedule, 1000 * SECOND)), 1)
        self.assertEqual(len(taken(schedule, 2000 * SECOND)), 1)
        self.assertIsNone(schedule.at)
        self.assertEqual(taken(schedule, 10**20), [])

    def test_duration(self) -> None:
        """
        In a second there are ten tenths, and the eleventh is not in it.
        """
        schedule = Schedule(SECOND / 10, duration=SECOND)
        schedule.begin(0)
        self.assertEqual(len(taken(schedule, SECOND)), 10)
        self.assertIsNone(schedule.at)

    def test_longAfter(self) -> None:
        """
        Turns that are left out are those of the duration, and no more.
        """
        schedule = Schedule(SECOND / 10, duration=SECOND)
        schedule.begin(0)
        self.assertEqual(len(taken(schedule, 0)), 1)
        self.assertEqual(taken(schedule, 5 * SECOND), [])
        self.assertEqual(schedule.skipped, 9)

    def test_phase(self) -> None:
        """
        The first turn may be later than the start.
        """
        schedule = Schedule(SECOND, phase=SECOND / 2)
        schedule.begin(100)
        self.assertEqual(schedule.at, 100 + SECOND // 2)
