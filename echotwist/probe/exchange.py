"""
Probes to one target and their replies: keep the books for the transports.
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
    Find out the outcome of each probe; subclasses send the probes.

    :param books: the books of the probes.
    :param payload: the payload of the probes.
    :param timeout: nanoseconds after which a reply is late.
    :param alarm: makes the alarm that calls a given function on time.
    :param observe: called with the outcome of each probe.
    :param now: a steady clock; and the clock of the system, which the kernel's stamps
        use.  Both in nanoseconds.
    :ivar books: the same books; subclasses have books of their own kind.
    :ivar finished: fires with this exchange when all outcomes are known.
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
        Do the work that is due now.
        """
        raise NotImplementedError

    def _stop(self) -> None:
        """
        Close all transports.
        """
        raise NotImplementedError

    def _read(self) -> None:
        """
        Take the replies that have come in.
        """
        raise NotImplementedError

    def _expire(self) -> None:
        expiry = self._books.expiry
        if expiry is None or expiry >= self._now():
            return
        # The reply may have come, and not have been read yet.
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
        End, even if probes are still under way.
        """
        if not self.finished.called:
            self.ended = self._wall()
            self._alarm.stop()
            self._stop()
            self.finished.callback(self)

    # What a transport tells

    def wasRead(self) -> None:
        """
        Note that all waiting replies were read.
        """
        raise NotImplementedError

    def opened(self, transport: Any) -> None:
        """
        Note that a connection takes probes now.
        """

    def closed(self, transport: Any, why: str) -> None:
        """
        Note that a connection is closed, or could not be made.
        """

    def expected(self, number: int) -> bytes:
        """
        Return the right reply to a probe.
        """
        return self.payload.make(number, self._books.wallOf(number))

    def arrived(self, data: bytes, arrival: Arrival) -> None:
        """
        Take a datagram that came in.
        """
        head = int.from_bytes(data[:NUMBER], "little")
        if len(data) == self.payload.size >= NUMBER and self._books.isKnown(head):
            expected = self.expected(head)
            if data == expected:  # So it is with nearly all.
                self.replied(head, data, arrival, expected)
                return
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
        Take a reply to a probe, whole or damaged.

        :param expected: the right reply, if it is known already.
        """
        books = self._books
        if not books.isKnown(number):  # The probe is too old.
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
        Note why a probe is lost.
        """
        if self._books.lose(number, state, reason):
            self._tell(number, state, reason)

    def reported(self, data: bytes, reason: str) -> None:
        """
        Note an ICMP error about a datagram.

        :param data: the beginning of the datagram; routers need not send much of it back.
        """
        number = headOf(data)[0] if len(data) >= NUMBER else next(self._books.underWay(), 0)
        self.lost(number, REPORTED, reason)

    # What becomes of a probe

    def _timed(self, number: int, user: int, kernel: int | None) -> None:
        """
        Record the round-trip time of an answer.
        """
        raise NotImplementedError

    def _byKernel(self, number: int, arrival: Arrival, user: int) -> int | None:
        """
        Return the round-trip time of an answer by the kernel's stamps, if it has both.
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
