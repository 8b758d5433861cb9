"""
Probes to one target, and what comes back: what transports tell is booked here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from echotwist.probe.attribution import AMBIGUOUS, Attribution
from echotwist.probe.distribution import Distribution
from echotwist.probe.events import OUTCOMES, Arrival, Event, Host
from echotwist.probe.ledger import BACK, REPORTED, UNANSWERED, Ledger
from echotwist.probe.payload import NUMBER, Damage, Payload, cutTo, damageOf, headOf
from echotwist.probe.schedule import SECOND
from echotwist.probe.tally import Reasons

#: Nanoseconds: how long at least to wait for second replies when all are back.
_LINGER = SECOND // 100


class Exchange:
    """
    Send probes, which subclasses do, and find out what became of each.

    :param books: keep what becomes of each.
    :param payload: says what is sent.
    :param timeout: nanoseconds after which a reply is late.
    :param alarm: makes what rings on time, of what it should call.
    :param observe: hears what becomes of each probe.
    :param now: a clock that nobody sets; and one that shows the time of the world, as
        the kernel's stamps do.  Both in nanoseconds.
    :ivar books: these; subclasses have books of their own.
    :ivar finished: fires with this exchange when all is known.
    """

    books: Ledger

    def __init__(
        self,
        books: Ledger,
        payload: Payload,
        timeout: int,
        alarm: Callable[[Callable[[], None]], Any],
        observe: Callable[[Event], None] | None,
        now: Callable[[], int],
        wall: Callable[[], int],
    ) -> None:
        self.payload = payload
        self.host = Host()
        self.began = self.ended = 0
        self.damaged = self.strange = self.stepped = self.dropped = 0
        self.patterns = Reasons()
        self.firstDamage: tuple[int, Damage] | None = None
        self.finished: Deferred[Any] = Deferred()
        self._books = books
        self._attribution = Attribution(books, payload)
        self._timeout = timeout
        self._alarm = alarm(self.tick)
        self._observe = observe
        self._now, self._wall = now, wall
        self._lastCall: int | None = None

    @property
    def rtt(self) -> Distribution:
        """
        The round trips by the clock of this process, in nanoseconds.
        """
        raise NotImplementedError

    # From beginning to end

    def tick(self) -> None:
        """
        Do what is due.
        """
        raise NotImplementedError

    def _stop(self) -> None:
        """
        Close what is open.
        """
        raise NotImplementedError

    def _read(self) -> None:
        """
        Take what has come in.
        """
        raise NotImplementedError

    def _expire(self) -> None:
        expiry = self._books.expiry
        if expiry is None or expiry >= self._now():
            return
        # It may be here already, and just not have been read.
        self._read()
        for number in self._books.expire(self._now()):
            self._tell(number, UNANSWERED)

    def _waitForTheLast(self, longest: int) -> None:
        """
        Wait a little for second replies, then end.

        :param longest: the longest round trip, in nanoseconds.
        """
        now = self._now()
        if self._lastCall is None:
            self._lastCall = now + min(max(_LINGER, 3 * longest), self._timeout)
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
            self._alarm.stop()
            self._stop()
            self.finished.callback(self)

    # What a transport tells

    def wasRead(self) -> None:
        """
        Hear that all which had come in was read.
        """
        raise NotImplementedError

    def opened(self, transport: Any) -> None:
        """
        Hear that a connection takes probes now.
        """

    def closed(self, transport: Any, why: str) -> None:
        """
        Hear that a connection is gone, or never came about.
        """

    def expected(self, number: int) -> bytes:
        """
        Give what the reply to a probe should be.
        """
        return self.payload.make(number, self._books.wallOf(number))

    def arrived(self, data: bytes, arrival: Arrival) -> None:
        """
        Hear that a datagram came in.
        """
        number = self._attribution.numberOf(data)
        if number is None:
            self.strange += 1
        elif number == AMBIGUOUS:
            self.damaged += 1
            self.patterns.note(cutTo(len(data), self.payload.size))
        else:
            self.replied(number, data, arrival)

    def replied(
        self, number: int, data: bytes, arrival: Arrival, expected: bytes | None = None
    ) -> None:
        """
        Hear that a reply to a probe came in, whole or not.

        :param expected: what it should be, if that is known already.
        """
        books = self._books
        if not books.isKnown(number):  # It is too old.
            self.strange += 1
            return
        expected = self.expected(number) if expected is None else expected
        damage = None if data == expected else self._damage(number, expected, data)
        user = arrival.now - books.sentAt(number)
        kernel = self._byKernel(number, arrival, user)
        took = user if kernel is None else kernel
        outcome = books.answer(number, took)
        if outcome == BACK:
            self._timed(number, user, kernel)
        if self._observe is not None:
            self._observe(self._eventOf(number, OUTCOMES[outcome], arrival, took, kernel, damage))

    def lost(self, number: int, state: int, reason: str) -> None:
        """
        Hear why a probe is lost.
        """
        if self._books.lose(number, state, reason):
            self._tell(number, state, reason)

    def reported(self, data: bytes, reason: str) -> None:
        """
        Hear what ICMP says about a datagram.

        :param data: the beginning of it; routers need not send so much of it back.
        """
        number = headOf(data)[0] if len(data) >= NUMBER else next(self._books.underWay(), 0)
        self.lost(number, REPORTED, reason)

    # What becomes of a probe

    def _timed(self, number: int, user: int, kernel: int | None) -> None:
        """
        Keep how long an answer took.
        """
        raise NotImplementedError

    def _byKernel(self, number: int, arrival: Arrival, user: int) -> int | None:
        """
        Tell how long an answer took by the kernel's stamps, if it has both of them.
        """
        return None

    def _eventOf(
        self,
        number: int,
        outcome: str,
        arrival: Arrival,
        took: int,
        kernel: int | None,
        damage: Damage | None,
    ) -> Event:
        return Event(number, self._books.wallOf(number), outcome, took, "user", damage=damage)

    def _tell(self, number: int, state: int, reason: str | None = None) -> None:
        if self._observe is not None:
            event = Event(number, self._books.wallOf(number), OUTCOMES[state], reason=reason)
            self._observe(event)

    def _damage(self, number: int, expected: bytes, data: bytes) -> Damage:
        damage = damageOf(expected, data)
        self.damaged += 1
        self.patterns.note(damage.pattern)
        if self.firstDamage is None:
            self.firstDamage = number, damage
        return damage
