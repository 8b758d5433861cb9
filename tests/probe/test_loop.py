"""
A load on one target, with a clock that the tests turn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.distribution import Memory
from echotwist.probe.events import Arrival
from echotwist.probe.ledger import REPORTED, Ledger
from echotwist.probe.load import loop as module
from echotwist.probe.load.loop import ClosedLoop
from echotwist.probe.payload import Payload
from echotwist.probe.schedule import SECOND
from tests.support.alarm import Alarm

#: Nanoseconds of a millisecond, and after which an answer is late.
MS, TIMEOUT = SECOND // 1000, SECOND


class Transport:
    """
    Keeps what is sent.
    """

    dropped = 0

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.refusal = ""
        self.isRoomy = True
        self.calls: list[str] = []

    def start(self, session: Any) -> None:
        """
        Begin; tests say when it is open.
        """
        self.calls.append("start")

    def connect(self) -> None:
        """
        Begin again.
        """
        self.calls.append("connect")

    def giveUp(self, why: str) -> None:
        """
        Wait no longer.
        """
        self.calls.append(why)

    def stop(self) -> None:
        """
        End.
        """
        self.calls.append("stop")

    def read(self) -> None:
        """
        There is nothing.
        """

    def hasRoom(self) -> bool:
        """
        Tell whether it takes more.
        """
        return self.isRoomy

    def send(self, number: int, data: bytes) -> str:
        """
        Keep it.
        """
        if not self.refusal:
            self.sent.append((number, data))
        return self.refusal


class LoopTests(SynchronousTestCase):
    """
    Tests for :class:`ClosedLoop`.
    """

    def loop(
        self,
        connections: int = 1,
        inFlight: int = 1,
        count: int | None = None,
        duration: int | None = None,
        warmup: int = 0,
    ) -> ClosedLoop:
        """
        Begin with one whose connections are open.
        """
        self.now = 0
        self.alarm = Alarm()
        self.transports = [Transport() for _ in range(connections)]

        def alarm(ring: Callable[[], None]) -> Alarm:
            self.ring = ring
            return self.alarm

        self.made = ClosedLoop(
            self.transports,
            inFlight,
            count,
            duration,
            warmup,
            Payload(b"seed", 64),
            TIMEOUT,
            alarm,
            None,
            lambda: self.now,
            lambda: self.now,
        )
        self.made.start()
        for transport in self.transports:
            self.made.opened(transport)
        return self.made

    def turn(self, until: int) -> None:
        """
        Turn the clock, and ring when it is time.
        """
        while self.alarm.at is not None and self.alarm.at <= until:
            self.now = max(self.now, self.alarm.at)
            self.ring()
        self.now = until

    def answer(self, transport: Transport, place: int = -1) -> None:
        """
        Have the answer to a message come in now.
        """
        self.made.arrived(transport.sent[place][1], Arrival(self.now, self.now))
        self.made.wasRead()

    def test_closed(self) -> None:
        """
        So many messages are under way on each, and an answer has the next sent.
        """
        loop = self.loop(connections=2, inFlight=3)
        one, other = self.transports
        self.assertEqual((len(one.sent), len(other.sent)), (3, 3))
        for _ in range(10):
            self.now += MS
            self.answer(one)
        self.assertEqual((len(one.sent), len(other.sent)), (13, 3))
        self.assertEqual((loop.books.back, loop.books.pending), (10, 6))

    def test_lost(self) -> None:
        """
        A message that is lost does not end the loop: the next is sent after the timeout.
        """
        loop = self.loop()
        self.turn(TIMEOUT + 100 * MS)
        self.assertEqual(len(self.transports[0].sent), 2)
        self.answer(self.transports[0])
        self.answer(self.transports[0], 0)
        self.assertEqual((loop.books.back, loop.books.late, loop.books.pending), (1, 1, 1))

    def test_order(self) -> None:
        """
        An answer is out of order that comes after one to a later message of the same
        carrier, not after one of another carrier.
        """
        loop = self.loop(connections=2, inFlight=3)
        one, other = self.transports
        for transport, place in ((other, 1), (one, 0), (one, 2), (one, 1), (other, 0), (other, 0)):
            self.answer(transport, place)
        self.assertEqual((loop.reordered, loop.books.twice), (2, 1))

    def test_count(self) -> None:
        """
        No more are sent than were asked for, and it ends when all are back.
        """
        loop = self.loop(connections=2, count=5)
        for _ in range(10):
            for transport in self.transports:
                if transport.sent:
                    self.now += MS
                    self.answer(transport)
        self.assertEqual(loop.books.sent, 5)
        self.turn(self.now + 20 * MS)
        self.assertIs(self.successResultOf(loop.finished), loop)
        self.assertEqual(self.transports[0].calls[-1], "stop")

    def test_duration(self) -> None:
        """
        It sends for so long; what is under way then is waited for.
        """
        loop = self.loop(duration=10 * MS)
        self.now = 9 * MS
        self.answer(self.transports[0])
        self.now = 10 * MS
        self.answer(self.transports[0])
        self.assertEqual(loop.books.sent, 2)
        self.turn(100 * MS)
        self.assertEqual((loop.elapsed, loop.carried[0]), (10 * MS, 2))
        self.successResultOf(loop.finished)

    def test_neverLeft(self) -> None:
        """
        After a message that never left there is a rest.
        """
        loop = self.loop()
        self.transports[0].refusal = "no room"
        self.answer(self.transports[0])
        self.turn(SECOND)
        self.assertGreaterEqual(loop.books.losses().neverLeft["no room"], 5)
        self.assertLessEqual(loop.books.losses().neverLeft["no room"], 11)

    def test_noRoom(self) -> None:
        """
        A connection that takes no more is waited for.
        """
        loop = self.loop()
        self.transports[0].isRoomy = False
        self.answer(self.transports[0])
        self.turn(SECOND // 2)
        self.assertEqual(loop.books.sent, 1)
        self.transports[0].isRoomy = True
        loop.wasRead()
        self.assertEqual(loop.books.sent, 2)

    def test_ended(self) -> None:
        """
        A connection that ends is made again: at once if it has carried anything.
        """
        loop = self.loop()
        [transport] = self.transports
        self.answer(transport)
        loop.lost(2, REPORTED, "reset")
        loop.closed(transport, "reset")
        self.turn(self.now)
        self.assertEqual(transport.calls, ["start", "connect"])
        loop.closed(transport, "refused")
        self.turn(self.now + 50 * MS)
        self.assertEqual(transport.calls, ["start", "connect"])
        self.turn(self.now + 100 * MS)
        self.assertEqual(transport.calls, ["start", "connect", "connect"])
        self.assertEqual(loop.endings, {"reset": 1})
        self.assertEqual(loop.books.losses().neverLeft, {"refused": 1})
        loop.opened(transport)
        self.assertEqual((loop.books.pending, loop.books.sent), (1, 4))

    def test_unconnected(self) -> None:
        """
        A connection that does not come about is given up after the timeout.
        """
        loop = self.loop()
        [transport] = self.transports
        self.answer(transport)
        loop.lost(2, REPORTED, "reset")
        loop.closed(transport, "reset")
        self.turn(self.now + 2 * TIMEOUT)
        self.assertEqual(transport.calls[2], "no connection in time")

    def test_warmup(self) -> None:
        """
        What is before the end of the warmup does not count for throughput and times.
        """
        loop = self.loop(warmup=100 * MS, duration=SECOND)
        self.now += MS
        self.answer(self.transports[0])
        self.turn(200 * MS)
        self.answer(self.transports[0])
        self.assertEqual((loop.books.back, loop.rtt.count, loop.carried[0]), (2, 1, 1))
        self.assertLessEqual(loop.elapsed, 100 * MS)
        self.turn(3 * SECOND)
        self.successResultOf(loop.finished)
        # So long it has sent, after the warmup.
        self.assertGreaterEqual(loop.elapsed, 800 * MS)

    def test_full(self) -> None:
        """
        A message that is under way is not forgotten, however many follow it.
        """
        self.patch(module, "_ROOM", 1)
        self.patch(module, "Ledger", partial(Ledger, memory=Memory(probes=16)))
        loop = self.loop(connections=2)
        for _ in range(100):
            self.answer(self.transports[1])
        self.assertLess(loop.books.sent, 50)
        self.answer(self.transports[0])
        for _ in range(100):
            self.answer(self.transports[1])
        self.assertEqual(loop.books.losses().unanswered, 0)
