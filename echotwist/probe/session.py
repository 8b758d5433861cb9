"""
Probe one target: send on time, and find out the outcome of each probe.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic_ns, time_ns
from typing import Any

from twisted.python import log

from echotwist.probe.books import Books
from echotwist.probe.distribution import AMPLE, Distribution, Memory
from echotwist.probe.events import Arrival, Event, Host
from echotwist.probe.exchange import Exchange
from echotwist.probe.ledger import NEVER_LEFT
from echotwist.probe.payload import HEADER, Damage, Payload
from echotwist.probe.schedule import SECOND, Schedule

#: How many probes to send before other sockets have their turn.
BURST = 64

#: A probe that is due within the first is waited for here, not in the reactor; the reactor
#: has its turn after the second at the latest.  In nanoseconds.
_NEAR, _STRETCH = SECOND // 500, SECOND // 100

#: Nanoseconds by which a duration on the kernel's clock may exceed the same on ours: time
#: synchronization makes the kernel's run faster, by a thousandth at most.
_SLACK = 1000


class Session(Exchange):
    """
    Probe one target on time; see :class:`echotwist.probe.exchange.Exchange`.

    :param transport: carries probes; see :class:`echotwist.probe.datagrams.Datagrams`
        and :class:`echotwist.probe.streams.Stream`.
    :param schedule: when to send.
    :param room: how many probes may be under way.
    :param memory: how much to remember of them.
    :param isAlone: nothing else needs the reactor more often than 100 times a second.
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
        self._latest = 0, b""  # The latest probe, to which most replies are.

    @property
    def rtt(self) -> Distribution:
        """
        The round trips by the clock of this process, in nanoseconds.
        """
        return self.books.user.rtt

    # From beginning to end

    def start(self) -> None:
        """
        Open the transport, then start sending.
        """
        self.transport.start(self)
        ready = self.transport.ready(self._timeout)
        # An error there ends the program.
        ready.addCallback(self._begin).addErrback(log.err)

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
        self._sendDue()
        while self._waitHere(until):
            self._sendDue()
        self._expire()
        self._arrange()

    def _waitHere(self, until: int) -> bool:
        """
        Wait for the next probe, and read replies meanwhile.

        :return: whether the wait was done here; if not, the reactor must do it.
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
        at = self.schedule.at
        self._dueAt = inf if at is None else at

    def _send(self, now: int, due: int) -> None:
        wall = self._wall()
        self.lateness.add(now - due)
        number = self.books.begin(now, wall)
        data = self.payload.make(number, wall)
        self._latest = number, data
        reason = self.transport.send(number, data)
        if reason:
            self.lost(number, NEVER_LEFT, reason)

    def _arrange(self) -> None:
        """
        Set the alarm for the next thing to do.
        """
        self.transport.sentAll()
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
        Note that all waiting replies were read.
        """
        isOver = self.began and not self.books.pending and self.schedule.at is None
        if isOver and self._lastCall is None:
            self._arrange()

    def arrived(self, data: bytes, arrival: Arrival) -> None:
        """
        Take a datagram that came in.
        """
        number, sent = self._latest
        if data == sent and len(sent) >= HEADER:  # No other probe has the same header.
            self.replied(number, data, arrival, sent)
        else:
            super().arrived(data, arrival)

    def expected(self, number: int) -> bytes:
        """
        Return the right reply to a probe.
        """
        latest, sent = self._latest
        return sent if number == latest else super().expected(number)

    def replied(
        self, number: int, data: bytes, arrival: Arrival, expected: bytes | None = None
    ) -> None:
        """
        Note a reply.  Even if many come at once, probes are sent on time.
        """
        super().replied(number, data, arrival, expected)
        if self._now() >= self._dueAt:
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
        Return the round trip of a reply by kernel timestamps, if both are known.

        A round trip that does not fit between the two times of this process is wrong: somebody has
        set the clock meanwhile.
        """
        left: int = self.transport.leftAt(number)
        if not left or not arrival.stamped:
            return None
        took = arrival.stamped - left
        if not 0 <= took <= user + user // 1000 + _SLACK:
            self.stepped += 1
            return None
        sent, came = left - self.books.wallOf(number), arrival.wall - arrival.stamped
        self.host.send.add(sent if sent > 0 else 0)
        self.host.receive.add(came if came > 0 else 0)
        if queued := self.transport.queuedAt(number):
            self.host.queue.add(max(0, left - queued))
        return took
