"""
One target, probed, with a clock that the tests turn.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.events import Arrival, Event
from echotwist.probe.payload import Payload
from echotwist.probe.schedule import SECOND, Schedule
from echotwist.probe.session import Session
from tests.support.alarm import Alarm

MS = SECOND // 1000

#: By how much the clock of the world is ahead of the one that nobody sets.
EPOCH = 1_800_000_000 * SECOND


class Transport:
    """
    Keeps what is sent, and says of each that it left at once.
    """

    source = None
    dropped = 0

    def __init__(self, wall: Callable[[], int]) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.refusal = ""
        self.waiting: list[Callable[[], None]] = []
        self.unread = 0
        self.wait: Callable[[int], bool] = lambda at: False
        self.left: dict[int, int] = {}
        self._wall = wall

    def start(self, session: Session) -> None:
        """
        Begin.
        """

    def stop(self) -> None:
        """
        End.
        """

    def ready(self, patience: int) -> Deferred[None]:
        """
        Be ready at once.
        """
        return succeed(None)

    def send(self, number: int, data: bytes) -> str:
        """
        Keep it.
        """
        self.sent.append((number, data))
        self.left[number] = self._wall()
        self.unread += 1
        return self.refusal

    def sentAll(self) -> None:
        """
        Read all stamps.
        """
        self.unread = 0

    def waitUntil(self, at: int) -> bool:
        """
        Wait, if the test has it so.
        """
        return self.wait(at)

    def read(self) -> None:
        """
        Hand over what came in meanwhile.
        """
        while self.waiting:
            self.waiting.pop()()

    def leftAt(self, number: int) -> int:
        """
        Tell when it was sent.
        """
        return self.left[number]

    def queuedAt(self, number: int) -> int:
        """
        Tell the same.
        """
        return self.left[number]


class SessionTests(SynchronousTestCase):
    """
    Tests for :class:`Session`.
    """

    def session(
        self,
        count: int | None = None,
        timeout: int = SECOND,
        interval: float = 100 * MS,
        isAlone: bool = False,
    ) -> Session:
        """
        Begin with one that sends ten a second.
        """
        self.now, self.step = 0, 0
        self.alarm = Alarm()
        self.events: list[Event] = []
        self.transport = Transport(self.wall)

        def alarm(ring: Callable[[], None]) -> Alarm:
            self.ring = ring
            return self.alarm

        schedule, payload = Schedule(interval, count), Payload(b"seed", 64)
        self.made = Session(
            self.transport,
            schedule,
            payload,
            timeout,
            100,
            alarm,
            self.events.append,
            isAlone,
            now=lambda: self.now,
            wall=self.wall,
        )
        self.made.start()
        return self.made

    def wall(self) -> int:
        """
        Tell the time of the world.
        """
        return EPOCH + self.step + self.now

    def turn(self, until: int) -> None:
        """
        Turn the clock, and ring when it is time.
        """
        while self.alarm.at is not None and self.alarm.at <= until:
            self.now = max(self.now, self.alarm.at)
            self.ring()
        self.now = until

    def answer(self, place: int, stamped: int | None = None) -> None:
        """
        Have the reply to a probe come in now.

        :param stamped: when the kernel got it, if not now.
        """
        at = self.wall() if stamped is None else stamped
        self.made.arrived(self.transport.sent[place][1], Arrival(self.now, self.wall(), at))
        self.made.wasRead()

    def outcomes(self) -> list[tuple[int, str]]:
        """
        Return what became of which probe.
        """
        return [(event.number, event.outcome) for event in self.events]

    def test_rate(self) -> None:
        """
        It sends on time, and no more than was asked for.
        """
        session = self.session(count=5)
        self.turn(250 * MS)
        self.assertEqual(len(self.transport.sent), 3)
        self.turn(10 * SECOND)
        self.assertEqual(len(self.transport.sent), 5)
        self.assertEqual(session.lateness.most, 1)

    def test_priority(self) -> None:
        """
        While many replies come in at once, probes are sent on time.
        """
        session = self.session()
        self.turn(500 * MS + 1)
        for place in range(5):
            self.now += 100 * MS
            self.answer(place)
        # None of this took the alarm to ring.
        self.assertEqual((len(self.transport.sent), session.lateness.most), (11, 1))

    def test_stamps(self) -> None:
        """
        Stamps of what was sent are read before anybody waits: each would wake the process.
        """
        self.session()
        self.turn(SECOND)
        self.assertEqual((len(self.transport.sent), self.transport.unread), (10, 0))

    def test_near(self) -> None:
        """
        The next probe is waited for outside the reactor if it is due soon, and if nothing
        else needs the reactor, which has its turn every 10 ms all the same.
        """
        for interval, isAlone, sent in ((MS, True, 11), (MS, False, 1), (3 * MS, True, 1)):
            self.session(interval=interval, isAlone=isAlone)
            waits: list[int] = []

            def wait(at: int, waits: list[int] = waits) -> bool:
                waits.append(at)
                self.now = at
                return True

            self.transport.wait = wait
            self.ring()
            self.assertEqual(waits, [MS * number for number in range(1, sent)])
            self.assertEqual(len(self.transport.sent), sent)
            self.assertEqual(self.alarm.at, sent * interval + 1)

    def test_end(self) -> None:
        """
        It ends when all are back, and no second replies came for a while.
        """
        session = self.session(count=2)
        self.turn(100 * MS + 1)
        self.answer(0)
        self.turn(120 * MS)
        self.answer(1)
        self.assertNoResult(session.finished)
        # Three times as long as the longest round trip.
        self.turn(120 * MS + 300 * MS)
        self.assertNoResult(session.finished)
        self.turn(120 * MS + 301 * MS)
        self.assertIs(self.successResultOf(session.finished), session)
        self.assertEqual(self.outcomes(), [(1, "back"), (2, "back")])

    def test_loss(self) -> None:
        """
        It ends when what is not back is lost.
        """
        session = self.session(count=2)
        self.turn(5 * SECOND)
        self.assertIs(self.successResultOf(session.finished), session)
        self.assertEqual(self.outcomes(), [(1, "lost"), (2, "lost")])

    def test_unread(self) -> None:
        """
        What is here already, and just was not read, is not lost: the kernel's stamp says
        that it came in time.
        """
        session = self.session(count=1)
        came = self.wall() + MS
        self.transport.waiting.append(lambda: self.answer(0, came))
        self.now = 100 * SECOND  # The process was stopped.
        self.ring()
        self.assertEqual(self.outcomes(), [(1, "back")])
        self.assertEqual(session.books.kernel.rtt.most, MS)
        self.assertEqual(session.books.losses().unanswered, 0)

    def test_step(self) -> None:
        """
        A time between two stamps of which somebody has set the clock is not believed.
        """
        for step in (-3600 * SECOND, 3600 * SECOND):
            session = self.session(count=1)
            self.now += MS
            self.step = step
            self.answer(0)
            self.assertEqual((session.stepped, session.books.kernel.rtt.count), (1, 0))
            self.assertEqual(session.books.user.rtt.most, MS)
            self.assertEqual((self.events[0].clock, self.events[0].rtt), ("user", MS))

    def test_refused(self) -> None:
        """
        What the transport does not take never left.
        """
        session = self.session(count=2)
        self.transport.refusal = "no room"
        self.turn(SECOND)
        self.assertEqual(session.books.losses().neverLeft["no room"], 1)
        self.assertEqual(self.events[0].reason, "no room")

    def test_waiting(self) -> None:
        """
        What is under way when it is ended is neither back nor lost.
        """
        session = self.session()
        self.turn(SECOND // 2)
        self.answer(0)
        session.finish()
        self.assertIs(self.successResultOf(session.finished), session)
        self.assertEqual(session.books.pending, session.books.sent - 1)
        self.assertEqual(session.books.losses().runs.lost, 0)

    def test_short(self) -> None:
        """
        Of a reply that is cut, what is left of the number tells the probe.
        """
        for size in (2, 7, 8, 12, 20):
            session = self.session(timeout=100 * SECOND)
            self.turn(30 * SECOND)
            for place in range(290):
                self.answer(place)
            number, data = self.transport.sent[299]
            session.arrived(data[:size], Arrival(self.now, self.wall()))
            self.assertEqual((self.events[-1].number, session.books.twice), (number, 0))
            self.assertEqual(session.damaged, 1)

    def test_ambiguous(self) -> None:
        """
        A reply of which so little is left that it may be to several probes is damaged,
        and to none of them.
        """
        session = self.session(timeout=100 * SECOND)
        self.turn(30 * SECOND)
        session.arrived(self.transport.sent[299][1][:1], Arrival(self.now, self.wall()))
        self.assertEqual((session.damaged, session.strange, session.books.back), (1, 0, 0))
        self.assertEqual(session.patterns, {"cut to 1 of 64 bytes": 1})

    def test_foreign(self) -> None:
        """
        A reply of another run, or of the far past, is nobody's.
        """
        session = self.session()
        self.turn(SECOND // 2)
        arrival = Arrival(self.now, self.wall())
        session.arrived(Payload(b"other", 64).make(9999, 1), arrival)
        session.arrived(session.payload.make(9999, 1), arrival)
        self.assertEqual((session.strange, session.damaged), (2, 0))
