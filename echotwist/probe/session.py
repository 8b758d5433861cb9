"""
One target, probed: sends on time, and finds out what became of each probe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from time import monotonic_ns, time_ns
from typing import Any

from twisted.internet.defer import Deferred

from echotwist.probe.books import (
    BACK,
    NEVER_LEFT,
    REPORTED,
    UNANSWERED,
    Books,
)
from echotwist.probe.distribution import Distribution
from echotwist.probe.events import OUTCOMES, Arrival, Event, Host
from echotwist.probe.payload import HEAD, HEADER, NUMBER, Damage, Payload, damageOf, headOf
from echotwist.probe.schedule import SECOND, Schedule

#: Probes that are sent before others have their turn.
BURST = 64

#: Nanoseconds: how long at least to wait for second replies when all are back.
_LINGER = SECOND // 100

#: Nanoseconds by which a time by the kernel's clock may exceed the same by ours: one is
#: kept in step with the time of the world, and by a thousandth at the most.
_SLACK = 1000


class Session:
    """
    Probe one target.

    :param transport: carries probes; see :class:`echotwist.probe.datagrams.Datagrams`
        and :class:`echotwist.probe.streams.Stream`.
    :param schedule: says when.
    :param payload: says what.
    :param timeout: nanoseconds after which a reply is late.
    :param alarm: makes what rings on time, of what it should call.
    :param observe: hears what becomes of each probe.
    :param now: a clock that nobody sets; and one that shows the time of the world, as
        the kernel's stamps do.  Both in nanoseconds.
    :ivar finished: fires with this session when all is known.
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
        now: Callable[[], int] = monotonic_ns,
        wall: Callable[[], int] = time_ns,
    ) -> None:
        self.transport = transport
        self.schedule = schedule
        self.payload = payload
        self.books = Books(timeout, room)
        self.host = Host()
        self.lateness = Distribution()
        self.began = self.ended = 0
        self.damaged = self.strange = self.stepped = self.dropped = 0
        self.patterns: Counter[str] = Counter()
        self.firstDamage: tuple[int, Damage] | None = None
        self.finished: Deferred[Session] = Deferred()
        self._timeout = timeout
        self._alarm = alarm(self.tick)
        self._observe = observe
        self._now, self._wall = now, wall
        self._lastCall: int | None = None

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
        for _ in range(BURST):
            now = self._now()
            due = self.schedule.due(now)
            if due is None:
                break
            self._send(now, due)
        self._expire()
        self._arrange()

    def _send(self, now: int, due: int) -> None:
        wall = self._wall()
        self.lateness.add(now - due)
        number = self.books.begin(now, wall)
        reason = self.transport.send(number, self.payload.make(number, wall))
        if reason:
            self.lost(number, NEVER_LEFT, reason)

    def _expire(self) -> None:
        expiry = self.books.expiry
        if expiry is None or expiry >= self._now():
            return
        # It may be here already, and just not have been read.
        self.transport.read()
        for number in self.books.expire(self._now()):
            self._tell(number, UNANSWERED)

    def _arrange(self) -> None:
        """
        See when there is something to do next.
        """
        times = (self.schedule.at, self.books.expiry)
        due = [time for time in times if time is not None]
        if due:
            self._alarm.set(min(due) + 1)
            return
        now = self._now()
        if self._lastCall is None:
            longest = max(_LINGER, 3 * (self.books.user.rtt.most or 0))
            self._lastCall = now + min(longest, self._timeout)
        if now >= self._lastCall:
            self.finish()
        else:
            self._alarm.set(self._lastCall)

    def finish(self) -> None:
        """
        End, whatever is still under way.
        """
        if not self.finished.called:
            self.ended = self._wall()
            self.dropped = self.transport.dropped
            self._alarm.stop()
            self.transport.stop()
            self.finished.callback(self)

    # What a transport tells

    def wasRead(self) -> None:
        """
        Hear that all which had come in was read.
        """
        isOver = self.began and not self.books.pending and self.schedule.at is None
        if isOver and self._lastCall is None:
            self._arrange()

    def arrived(self, data: bytes, arrival: Arrival) -> None:
        """
        Hear that a datagram came in.
        """
        number = self._numberOf(data)
        if number is None:
            self.strange += 1
        else:
            self.replied(number, data, arrival)

    def replied(self, number: int, data: bytes, arrival: Arrival) -> None:
        """
        Hear that a reply to a probe came in, whole or not.
        """
        books = self.books
        expected = self.payload.make(number, books.wallOf(number))
        damage = None if data == expected else self._damage(number, expected, data)
        user = arrival.now - books.sentAt(number)
        kernel = self._byKernel(number, arrival, user)
        took = user if kernel is None else kernel
        outcome = books.answer(number, took)
        if outcome == BACK:
            books.user.add(number, user)
            if kernel is not None:
                books.kernel.add(number, kernel)
        if self._observe is not None:
            self._observe(self._eventOf(number, OUTCOMES[outcome], arrival, took, kernel, damage))

    def _eventOf(
        self,
        number: int,
        outcome: str,
        arrival: Arrival,
        took: int,
        kernel: int | None,
        damage: Damage | None,
    ) -> Event:
        sentAt, transport = self.books.wallOf(number), self.transport
        if kernel is None:
            return Event(number, sentAt, outcome, took, "user", damage=damage)
        stamps = transport.queuedAt(number), transport.leftAt(number), arrival.stamped
        return Event(number, sentAt, outcome, took, "kernel", stamps, damage=damage)

    def lost(self, number: int, state: int, reason: str) -> None:
        """
        Hear why a probe is lost.
        """
        if self.books.lose(number, state, reason):
            self._tell(number, state, reason)

    def reported(self, data: bytes, reason: str) -> None:
        """
        Hear what ICMP says about a datagram.

        :param data: the beginning of it; routers need not send so much of it back.
        """
        number = headOf(data)[0] if len(data) >= NUMBER else next(self.books.underWay(), 0)
        self.lost(number, REPORTED, reason)

    # What becomes of a probe

    def _tell(self, number: int, state: int, reason: str | None = None) -> None:
        if self._observe is not None:
            event = Event(number, self.books.wallOf(number), OUTCOMES[state], reason=reason)
            self._observe(event)

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

    def _damage(self, number: int, expected: bytes, data: bytes) -> Damage:
        damage = damageOf(expected, data)
        self.damaged += 1
        self.patterns[damage.pattern] += 1
        if self.firstDamage is None:
            self.firstDamage = number, damage
        return damage

    def _numberOf(self, data: bytes) -> int | None:
        """
        Find the probe that a datagram answers, also if it is damaged.
        """
        if min(self.payload.size, len(data)) < NUMBER:
            return self._oldestLike(data)
        number, sentAt = headOf(data)
        isKnown = self.books.isKnown(number)
        if isKnown and sentAt == self.books.wallOf(number):
            return number
        if not isKnown and self.payload.isOurs(data):
            return None  # So old that nothing is known of it any more.
        expected = self.payload.make(number, self.books.wallOf(number)) if isKnown else b""
        if isKnown and expected[NUMBER:HEAD].startswith(data[NUMBER:HEAD]):
            return number
        found = None if sentAt is None else self.books.sentWith(sentAt)
        if found is not None:
            return found
        if isKnown and _agree(expected[NUMBER:HEADER], data[NUMBER:HEADER]):
            return number
        return next(self.books.underWay()) if self.books.pending == 1 else None

    def _oldestLike(self, data: bytes) -> int | None:
        """
        Find the oldest probe under way whose number has these lower bytes.
        """
        for number in self.books.underWay():
            if number.to_bytes(NUMBER, "little").startswith(data):
                return number
        return next(self.books.underWay(), None)


def _agree(expected: bytes, got: bytes) -> bool:
    """
    Tell whether more than half of some bytes are as they should be.
    """
    same = sum(one == other for one, other in zip(expected, got, strict=False))
    return same > len(expected) // 2
