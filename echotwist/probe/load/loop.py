"""
Keep one target under load: after each answer, send the next message.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from time import monotonic_ns, time_ns
from typing import Any

from attrs import define

from echotwist.probe.distribution import Distribution
from echotwist.probe.events import Arrival, Event
from echotwist.probe.exchange import Exchange
from echotwist.probe.ledger import NEVER_LEFT, Ledger
from echotwist.probe.payload import Payload
from echotwist.probe.schedule import SECOND

#: How many messages to remember, so that a late answer still counts: more than a second sends.
_ROOM = 2**17

#: Nanoseconds between two looks for losses, the end and connections to renew; and nanoseconds
#: for which a carrier sends nothing after a fault.
_TICK, _REST = SECOND // 50, SECOND // 10


@define(eq=False)
class Carrier:
    """
    One connection, or one socket for datagrams.

    :ivar idle: how many more messages may be under way on it.
    :ivar isReady: it is in the queue of carriers that may send.
    :ivar isOpen: messages can be sent on it.
    :ivar hasAnswered: it has carried an answer since it was opened.
    :ivar since: when its connect began, in nanoseconds; ``None`` once that has ended.
    :ivar restsUntil: when it may send again after a fault.
    :ivar highest: the latest message that was answered on it.
    """

    transport: Any
    idle: int = 0
    isReady: bool = False
    isOpen: bool = False
    hasAnswered: bool = False
    since: int | None = None
    restsUntil: int = 0
    highest: int = 0


class ClosedLoop(Exchange):
    """
    Keep a target under load; see :class:`echotwist.probe.exchange.Exchange`.

    :param transports: the transports that carry messages.
    :param inFlight: how many messages are under way on each of them.
    :param count: how many messages to send; ``None`` for any number.
    :param duration: for how many nanoseconds to send; ``None`` for ever.
    :param warmup: nanoseconds after which throughput and times begin to count.
    :ivar connected: how many connections were made.
    :ivar endings: why connections ended, and how often each.
    :ivar reordered: answers that came after one to a later message of the same carrier.
    """

    def __init__(
        self,
        transports: Sequence[Any],
        inFlight: int,
        count: int | None,
        duration: int | None,
        warmup: int,
        payload: Payload,
        timeout: int,
        alarm: Callable[[Callable[[], None]], Any],
        observe: Callable[[Event], None] | None = None,
        now: Callable[[], int] = monotonic_ns,
        wall: Callable[[], int] = time_ns,
    ) -> None:
        slots = len(transports) * inFlight
        self.books = Ledger(timeout, max(_ROOM, slots), self._settled)
        super().__init__(self.books, payload, timeout, alarm, observe, now, wall)
        self.carriers = [Carrier(transport) for transport in transports]
        self.connected = self.reordered = 0
        self.endings: Counter[str] = Counter()
        self._rtt = Distribution()
        self.bytesOut = self.bytesIn = 0
        self._inFlight, self._count, self._duration = inFlight, count, duration
        self._warmup = warmup
        self._under: dict[int, Carrier] = {}
        self._ready: deque[Carrier] = deque()
        self._waiting: list[Carrier] = []
        self._gone: list[Carrier] = []
        self._startedAt = self._stoppedAt = self._cameAt = 0
        self._before = (0, 0, 0)

    @property
    def rtt(self) -> Distribution:
        """
        The round trips that count, in nanoseconds.
        """
        return self._rtt

    # From beginning to end

    def start(self) -> None:
        """
        Open all connections, and send.
        """
        self.began = self._wall()
        self._startedAt = self._now()
        for carrier in self.carriers:
            carrier.since = self._startedAt
            carrier.transport.start(self)
        self._alarm.set(self._now() + _TICK)

    def tick(self) -> None:
        """
        Find lost messages, connect again where needed, and end when all is done.
        """
        self._expire()
        now = self._now()
        if self._warmup and now >= self._startedAt + self._warmup:
            self._beginToCount(now)
        self._connectAgain(now)
        self._fill()
        if self._stoppedAt and not self.books.pending:
            self._waitForTheLast(self.rtt.most or 0)
        elif not self.finished.called:
            self._alarm.set(self._now() + _TICK)

    def _beginToCount(self, now: int) -> None:
        self._warmup, self._startedAt = 0, now
        self._rtt = Distribution()
        self._before = self._counts()

    def _counts(self) -> tuple[int, int, int]:
        return self.books.back + self.books.late, self.bytesOut, self.bytesIn

    def _connectAgain(self, now: int) -> None:
        gone, self._gone = self._gone, []
        for carrier in gone:
            if carrier.restsUntil > now:
                self._gone.append(carrier)
            elif not self._stoppedAt:
                carrier.since = now
                carrier.transport.connect()
        for carrier in self.carriers:
            if carrier.since is not None and now - carrier.since > self._timeout:
                carrier.transport.giveUp("no connection in time")

    def _fill(self) -> None:
        """
        Send all messages that may be sent now.
        """
        waiting, self._waiting = self._waiting, []
        for carrier in waiting:
            self._enqueue(carrier)
        ready = self._ready
        while ready and not self._isOver(now := self._now()):
            carrier = ready.popleft()
            carrier.isReady = False
            if not carrier.idle:
                continue
            if carrier.restsUntil > now or not carrier.transport.hasRoom():
                self._waiting.append(carrier)
                continue
            self._send(carrier, now)
            self._enqueue(carrier)

    def _isOver(self, now: int) -> bool:
        isOver = self.books.sent == self._count or (
            self._duration is not None and now - self._startedAt >= self._duration
        )
        if isOver and not self._stoppedAt:
            self._stoppedAt = now
        return bool(self._stoppedAt) or self.books.isFull

    def _send(self, carrier: Carrier, now: int) -> None:
        wall = self._wall()
        number = self.books.begin(now, wall)
        self._under[number] = carrier
        carrier.idle -= 1
        reason = carrier.transport.send(number, self.payload.make(number, wall))
        if reason:
            self.lost(number, NEVER_LEFT, reason)
        else:
            self.bytesOut += self.payload.size

    def _enqueue(self, carrier: Carrier) -> None:
        if carrier.idle and not carrier.isReady:
            carrier.isReady = True
            self._ready.append(carrier)

    def _settled(self, number: int) -> None:
        """
        Note that a message is no longer under way.
        """
        carrier = self._under.pop(number, None)
        if carrier is not None and carrier.isOpen:
            carrier.idle += 1
            self._enqueue(carrier)

    def _stop(self) -> None:
        self._stoppedAt = self._stoppedAt or self._now()
        for carrier in self.carriers:
            self.dropped += carrier.transport.dropped
            carrier.transport.stop()

    def _read(self) -> None:
        for carrier in self.carriers:
            carrier.transport.read()

    @property
    def elapsed(self) -> int:
        """
        The nanoseconds over which throughput is measured.
        """
        until = max(self._stoppedAt, self._cameAt) if self._stoppedAt else self._now()
        return until - self._startedAt

    @property
    def carried(self) -> tuple[int, int, int]:
        """
        The counts of the throughput: answers, bytes sent, and bytes received.
        """
        now, before = self._counts(), self._before
        return now[0] - before[0], now[1] - before[1], now[2] - before[2]

    # What a transport tells

    def wasRead(self) -> None:
        """
        Send the next messages after all waiting answers were read.
        """
        self._fill()
        if self._stoppedAt and not self.books.pending and self._lastCall is None:
            self._waitForTheLast(self.rtt.most or 0)

    def opened(self, transport: Any) -> None:
        """
        Note that a connection takes messages now.
        """
        carrier = self._of(transport)
        carrier.since = None
        carrier.isOpen, carrier.hasAnswered, carrier.restsUntil = True, False, 0
        carrier.idle = self._inFlight
        self.connected += 1
        self._enqueue(carrier)
        self._fill()

    def closed(self, transport: Any, why: str) -> None:
        """
        Note that a connection is closed, or could not be made; then a message never left.
        """
        if self.finished.called:
            return
        carrier, now = self._of(transport), self._now()
        carrier.since = None
        if carrier.isOpen:
            self.endings[why] += 1
        elif not self._isOver(now):
            self.lost(self.books.begin(now, self._wall()), NEVER_LEFT, why)
        carrier.restsUntil = now if carrier.hasAnswered else now + _REST
        carrier.isOpen, carrier.hasAnswered, carrier.idle = False, False, 0
        self._gone.append(carrier)
        self._alarm.set(now)

    def _of(self, transport: Any) -> Carrier:
        return next(one for one in self.carriers if one.transport is transport)

    def replied(
        self, number: int, data: bytes, arrival: Arrival, expected: bytes | None = None
    ) -> None:
        """
        Take an answer, whole or damaged.
        """
        self.bytesIn += len(data)
        self._cameAt = arrival.now
        if (carrier := self._under.get(number)) is not None:
            carrier.hasAnswered = True
            self.reordered += number < carrier.highest
            carrier.highest = max(number, carrier.highest)
        super().replied(number, data, arrival, expected)

    def lost(self, number: int, state: int, reason: str) -> None:
        """
        Note why a message is lost.
        """
        if (carrier := self._under.get(number)) is not None:
            carrier.restsUntil = self._now() + _REST
        super().lost(number, state, reason)

    def _timed(self, number: int, user: int, kernel: int | None) -> None:
        self._rtt.add(user)
