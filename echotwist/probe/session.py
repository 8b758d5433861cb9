"""
One target, probed: sends on time, and finds out what became of each probe.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic_ns, time_ns
from typing import Any

from echotwist.probe.books import Books
from echotwist.probe.distribution import AMPLE, Distribution, Memory
from echotwist.probe.events import Arrival, Event, Host
from echotwist.probe.exchange import Exchange
from echotwist.probe.ledger import NEVER_LEFT
from echotwist.probe.payload import Damage, Payload
from echotwist.probe.schedule import SECOND, Schedule

#: Probes that are sent before others have their turn.
BURST = 64

#: A probe that is due in so many nanoseconds is waited for here, and not in the reactor;
#: which has its turn after so many at the latest.
_NEAR, _STRETCH = SECOND // 500, SECOND // 100

#: Nanoseconds by which a time by the kernel's clock may exceed the same by ours: one is
#: kept in step with the time of the world, and by a thousandth at the most.
_SLACK = 1000


class Session(Exchange):
    """
    Probe one target on time; see :class:`echotwist.probe.exchange.Exchange`.

    :param transport: carries probes; see :class:`echotwist.probe.datagrams.Datagrams`
        and :class:`echotwist.probe.streams.Stream`.
    :param schedule: says when.
    :param room: how many probes may be under way.
    :param memory: how much is remembered of them.
    :param isAlone: nothing else needs the reactor more than 100 times a second.
    """

    def __init__(
        self,
        transport: Any,
        schedule: Schedule,
        payload: Payload,
        timeout: int,
        room: int,
        alarm: Callable[[Callable[[], None]], Any],
        observe: Callable[[Event], None] | None = None,
        isAlone: bool = False,
        now: Callable[[], int] = monotonic_ns,
        wall: Callable[[], int] = time_ns,
        memory: Memory = AMPLE,
    ) -> None:
        self.books: Books = Books(timeout, room, memory)
        super().__init__(self.books, payload, timeout, alarm, observe, now, wall)
        self.host = Host(memory)
        self.transport = transport
        self.schedule = schedule
        self.lateness = Distribution(memory)
        self._isAlone = isAlone
        self._dueAt: float = inf

    @property
    def rtt(self) -> Distribution:
        """
        The round trips by the clock of this process, in nanoseconds.
        """
        return self.books.user.rtt

    # From beginning to end

    def start(self) -> None:
        """
        Open the transport, then send.
        """
        self.transport.start(self)
        self.transport.ready(self._timeout).addCallback(self._begin)

    def _begin(self, _: object) -> None:
        if self.finished.called:
            return
        self.began = self._wall()
        self.schedule.begin(self._now())
        self.tick()

    def tick(self) -> None:
        """
        Do what is due.
        """
        until = self._now() + _STRETCH
        self._doDue()
        while self._waitHere(until):
            self._doDue()
        self._arrange()

    def _doDue(self) -> None:
        self._sendDue()
        self._expire()

    def _waitHere(self, until: int) -> bool:
        """
        Wait for the next probe, and take what comes in meanwhile.

        :return: whether that was done; if not, it is for the reactor.
        """
        at, now = self.schedule.at, self._now()
        isFor = at is not None and at - now <= _NEAR and now < until
        return isFor and self._isAlone and self.transport.waitUntil(at)

    def _sendDue(self) -> None:
        for _ in range(BURST):
            now = self._now()
            due = self.schedule.due(now)
            if due is None:
                break
            self._send(now, due)
        self.transport.sentAll()
        at = self.schedule.at
        self._dueAt = inf if at is None else at

    def _send(self, now: int, due: int) -> None:
        wall = self._wall()
        self.lateness.add(now - due)
        number = self.books.begin(now, wall)
        reason = self.transport.send(number, self.payload.make(number, wall))
        if reason:
            self.lost(number, NEVER_LEFT, reason)

    def _arrange(self) -> None:
        """
        See when there is something to do next.
        """
        times = (self.schedule.at, self.books.expiry)
        due = [time for time in times if time is not None]
        if due:
            self._alarm.set(min(due) + 1)
            return
        self._waitForTheLast(self.books.user.rtt.most or 0)

    def _stop(self) -> None:
        self.dropped = self.transport.dropped
        self.transport.stop()

    def _read(self) -> None:
        self.transport.read()

    # What a transport tells

    def wasRead(self) -> None:
        """
        Hear that all which had come in was read.
        """
        isOver = self.began and not self.books.pending and self.schedule.at is None
        if isOver and self._lastCall is None:
            self._arrange()

    def replied(
        self, number: int, data: bytes, arrival: Arrival, expected: bytes | None = None
    ) -> None:
        """
        Hear that a reply came in.  Where many come at once, probes are still sent on time.
        """
        super().replied(number, data, arrival, expected)
        if arrival.now >= self._dueAt:
            self._sendDue()

    def _timed(self, number: int, user: int, kernel: int | None) -> None:
        self.books.user.add(number, user)
        if kernel is not None:
            self.books.kernel.add(number, kernel)

    def _eventOf(
        self,
        number: int,
        outcome: str,
        arrival: Arrival,
        took: int,
        kernel: int | None,
        damage: Damage | None,
    ) -> Event:
        if kernel is None:
            return super()._eventOf(number, outcome, arrival, took, kernel, damage)
        sentAt, transport = self.books.wallOf(number), self.transport
        stamps = transport.queuedAt(number), transport.leftAt(number), arrival.stamped
        return Event(number, sentAt, outcome, took, "kernel", stamps, damage=damage)

    def _byKernel(self, number: int, arrival: Arrival, user: int) -> int | None:
        """
        Tell how long an answer took by the kernel's stamps, if it has both of them.

        What is not between the two times of this process was read from another clock:
        somebody has set the time meanwhile.
        """
        left: int = self.transport.leftAt(number)
        if not left or not arrival.stamped:
            return None
        took = arrival.stamped - left
        if not 0 <= took <= user + user // 1000 + _SLACK:
            self.stepped += 1
            return None
        self.host.send.add(max(0, left - self.books.wallOf(number)))
        self.host.receive.add(max(0, arrival.wall - arrival.stamped))
        if queued := self.transport.queuedAt(number):
            self.host.queue.add(max(0, left - queued))
        return took
