"""
One target of a watch, and a day of it, with a clock that the tests turn.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from itertools import pairwise
from types import FunctionType, ModuleType
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.events import Arrival
from echotwist.probe.ledger import NEVER_LEFT, UNANSWERED
from echotwist.probe.payload import Payload
from echotwist.probe.schedule import SECOND
from echotwist.probe.target import Target
from echotwist.probe.watch.file import Entry
from echotwist.probe.watch.settings import WatchSettings
from echotwist.probe.watch.watched import GRAIN, Here, Turns, Watched
from echotwist.probe.watch.wheel import Wheel
from tests.support.alarm import Alarm

MS = SECOND // 1000

#: By how much the clock of the world is ahead of the one that nobody sets.
EPOCH = 1_800_000_000 * SECOND

ENTRY = Entry("one", Target("udp", "192.0.2.1", 7), WatchSettings())


class Path:
    """
    Carries probes to a service that does with each what the test says.

    :param day: has the clock.
    :param treat: gives the nanoseconds until each reply to a probe, by its number.
    """

    source = place = None
    dropped = 0

    def __init__(self, day: Day, treat: Callable[[int], list[int]]) -> None:
        self._day, self._treat = day, treat
        self._left: dict[int, int] = {}
        self.renewed = 0
        self.refusal = ""

    def start(self, session: Watched) -> None:
        """
        Begin.
        """
        self._session = session

    def ready(self, patience: int) -> Deferred[None]:
        """
        Be ready at once.
        """
        return succeed(None)

    def stop(self) -> None:
        """
        End.
        """

    def renew(self) -> None:
        """
        Count how often nothing came back for long.
        """
        self.renewed += 1

    def send(self, number: int, data: bytes) -> str:
        """
        Have its replies come when they should.
        """
        left = self._day.wall()
        self._left = {number: left}
        delays = self._treat(number)
        if self.refusal:
            return self.refusal
        for delay in delays:
            self._day.at(delay, lambda: self._arrive(number, data, left))
        return ""

    def _arrive(self, number: int, data: bytes, left: int) -> None:
        self._left[number] = left
        wall = self._day.wall()
        self._session.arrived(data, Arrival(self._day.now, wall, wall))

    def read(self) -> None:
        """
        All is read as soon as it comes.
        """

    def sentAll(self) -> None:
        """
        Nothing waits.
        """

    def leftAt(self, number: int) -> int:
        """
        Tell when a probe was sent.
        """
        return self._left.get(number, 0)

    def queuedAt(self, number: int) -> int:
        """
        Tell nothing.
        """
        return 0


def sizeOf(thing: object) -> tuple[int, int]:
    """
    Count the objects that something holds, and their bytes.
    """
    seen: dict[int, object] = {}
    found = [thing]
    while found:
        one = found.pop()
        isShared = isinstance(one, type | ModuleType | FunctionType) or one is None
        if id(one) not in seen and not isShared:
            seen[id(one)] = one
            found.extend(gc.get_referents(one))
    return len(seen), sum(map(sys.getsizeof, seen.values()))


class Day:
    """
    A clock, and what happens by it.
    """

    def __init__(self) -> None:
        self.now, self.step = 0, 0
        self.alarm = Alarm()
        self.wheel = Wheel(self._alarm, lambda: self.now)

    def _alarm(self, ring: Callable[[], None]) -> Alarm:
        self._ring = ring
        return self.alarm

    def wall(self) -> int:
        """
        Tell the time of the world, which somebody may have set.
        """
        return EPOCH + self.now + self.step

    def at(self, delay: int, what: Callable[[], None]) -> None:
        """
        Have something happen later.
        """
        self.wheel.turn(what).set(self.now + delay)

    def pass_(self, time: int) -> None:
        """
        Let some time pass.
        """
        end = self.now + time
        while self.alarm.at is not None and self.alarm.at <= end:
            self.now = max(self.now, self.alarm.at)
            self.alarm.at = None
            self._ring()
        self.now = end


class WatchedTests(SynchronousTestCase):
    """
    Tests for :class:`Watched`.
    """

    def watched(
        self, treat: Callable[[int], list[int]], entry: Entry = ENTRY, **more: Any
    ) -> Watched:
        """
        Begin to watch a target.
        """
        self.day = Day()
        self.path = Path(self.day, treat)
        made = Watched(
            entry,
            self.path,  # type: ignore[arg-type]
            Payload(b"seed", 64),
            0.0,
            self.day.wheel.turn,
            Here(),
            now=lambda: self.day.now,
            wall=self.day.wall,
            **more,
        )
        made.start()
        return made

    def test_counts(self) -> None:
        """
        Numbers for metrics never fall, also when a reply comes after all; each probe is
        one thing in the end.
        """

        def treat(number: int) -> list[int]:
            kinds = {0: [MS], 1: [], 2: [3 * SECOND], 3: [MS, 2 * MS]}
            return kinds[number % 4]

        one = self.watched(treat)
        fallen = []
        lost = 0
        for _ in range(400):
            self.day.pass_(SECOND)
            fallen.append(one.lostBy[UNANSWERED] < lost)
            lost = one.lostBy[UNANSWERED]
        self.day.pass_(3 * SECOND - 1)
        self.assertFalse(any(fallen))
        books = one.books
        self.assertEqual(books.sent, 403)
        self.assertEqual(books.twice, 101)
        one.roundTrips.settle()
        self.assertEqual(one.roundTrips.total, books.back * MS)
        # Those that were late were lost before.
        self.assertEqual(one.lostBy[UNANSWERED], books.late + books.losses().unanswered)
        self.assertEqual(books.back + books.late + books.losses().unanswered + books.pending, 403)

    def test_lateAtOnce(self) -> None:
        """
        A reply that is late counts among the losses, too, if it comes before its timeout
        was seen to be over, as after the process was stopped.
        """
        one = self.watched(lambda number: [])
        self.day.pass_(SECOND // 2)
        sent = one.payload.make(1, one.books.wallOf(1))
        self.day.now += 5 * SECOND
        wall = self.day.wall()
        for _ in range(2):
            one.arrived(sent, Arrival(self.day.now, wall, wall))
        self.assertEqual((one.books.late, one.books.twice), (1, 1))
        self.assertEqual(one.lostBy, {UNANSWERED: 1})

    def test_day(self) -> None:
        """
        A day with losses, reasons and times of all kinds leaves as much in memory as six
        hours: a probe each 10 seconds fills all that is remembered of single ones.
        """

        def treat(number: int) -> list[int]:
            self.path.refusal = f"reason {number}" if number % 10 == 0 else ""
            return [] if number % 7 == 0 else [pow(7, number % 1000, 10**9 + 7)]

        one = self.watched(treat, evolve(ENTRY, settings=WatchSettings(interval=10.0)))
        self.day.pass_(6 * 3600 * SECOND)
        before = sizeOf(one)
        self.day.pass_(18 * 3600 * SECOND - 1)
        after = sizeOf(one)
        self.assertEqual((one.books.sent, one.lostBy[NEVER_LEFT]), (8640, 864))
        # A count above 256 is an object of its own.
        self.assertLess(after[0], before[0] + 400)
        self.assertLess(after[1], before[1] + 10_000)
        self.assertLess(after[1], 2**18)

    def test_restart(self) -> None:
        """
        While a target is away each probe is lost, and none after that.
        """
        one = self.watched(lambda number: [] if 101 <= number <= 130 else [MS])
        self.day.pass_(200 * SECOND - 1)
        self.assertEqual(one.lostBy, {UNANSWERED: 30})
        self.assertEqual(one.books.losses().runs.longest, 30)
        self.assertEqual((one.books.sent, one.books.back), (200, 170))

    def test_renewed(self) -> None:
        """
        After three timeouts without a word what carries probes is made anew, and again
        after three more.
        """
        self.watched(lambda number: [])
        self.day.pass_(6 * SECOND)
        self.assertEqual(self.path.renewed, 0)
        self.day.pass_(2 * SECOND)
        self.assertEqual(self.path.renewed, 1)
        self.day.pass_(60 * SECOND)
        self.assertIn(self.path.renewed, range(9, 12))

    def test_step(self) -> None:
        """
        When somebody sets the clock, round trips stay right.
        """
        one = self.watched(lambda number: [MS])
        for step in (3600 * SECOND, -7200 * SECOND, 5 * MS):
            self.day.pass_(10 * SECOND)
            self.day.at(
                SECOND - self.day.now % SECOND + MS // 2,
                lambda step=step: setattr(self.day, "step", step),  # type: ignore[misc]
            )
        self.day.pass_(30 * SECOND)
        one.roundTrips.settle()
        self.assertEqual(one.roundTrips.total, one.books.back * MS)
        self.assertEqual((one.books.sent - one.books.pending, one.stepped), (one.books.back, 3))

    def test_becomes(self) -> None:
        """
        With another rate, timeout or condition it is the same target, with its counts; with
        another size or address it is not.
        """
        one = self.watched(lambda number: [MS])
        self.day.pass_(10 * SECOND)
        settings = WatchSettings(rate=10.0, timeout=1.0, failIf=("loss>1%",))
        self.assertTrue(one.becomes(evolve(ENTRY, settings=settings)))
        self.day.pass_(10 * SECOND)
        self.assertIn(one.books.sent, range(109, 113))
        self.assertFalse(one.becomes(evolve(ENTRY, settings=WatchSettings(size=100))))
        self.assertFalse(one.becomes(evolve(ENTRY, target=Target("udp", "192.0.2.2", 7))))

    def test_faster(self) -> None:
        """
        With a rate so much higher that many more probes are under way at a time, it keeps
        its counts, and what it knows of each probe.
        """
        one = self.watched(lambda number: [] if number % 10 == 0 else [SECOND + number])
        self.day.pass_(200 * SECOND)
        books, before = one.books, one.books.losses()
        times = books.user.rtt.total
        self.assertTrue(one.becomes(evolve(ENTRY, settings=WatchSettings(rate=500.0))))
        after = books.losses()
        self.assertEqual((after.runs, after.unanswered), (before.runs, before.unanswered))
        self.assertEqual(books.user.rtt.total, times)
        self.day.pass_(5 * SECOND)
        one.schedule.at = None
        self.day.pass_(5 * SECOND)
        lost = books.sent // 10
        self.assertIn(books.sent, range(2_700, 2_705))
        self.assertEqual((books.back, books.pending, one.strange), (books.sent - lost, 0, 0))
        self.assertEqual((one.lostBy, books.losses().unanswered), ({UNANSWERED: lost}, lost))
        self.assertEqual((books.losses().runs.count, books.losses().runs.longest), (lost, 1))
        # All those that are one after another: of ten each, one is not answered.
        self.assertEqual(books.user.ipdv.count, books.back - lost - 1)

    def test_together(self) -> None:
        """
        Whatever the interval of a slow target is, its turns coincide with those of others;
        on average they are as far apart as that.
        """
        turns = Turns(4 * SECOND / 3, phase=GRAIN)
        turns.begin(12_345)
        found = []
        for _ in range(301):
            assert turns.at is not None
            found.append(turns.due(turns.at) or 0)
        self.assertEqual({at % GRAIN for at in found}, {0})
        self.assertEqual(found[-1] - found[0], 400 * SECOND)
        self.assertLessEqual({after - at for at, after in pairwise(found)}, {1300 * MS, 1350 * MS})

    def test_suspended(self) -> None:
        """
        After the process was stopped for an hour it does not send all of that hour at once.
        """
        one = self.watched(lambda number: [MS])
        self.day.pass_(10 * SECOND - 1)
        self.day.now += 3600 * SECOND
        self.day.pass_(10 * SECOND)
        self.assertLess(one.books.sent, 25)
        self.assertGreater(one.schedule.skipped, 3590)
