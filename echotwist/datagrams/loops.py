"""
How the guard finds datagrams that go round between two echo services.
"""

from __future__ import annotations

from math import inf
from typing import Generic, TypeVar

from attrs import define
from attrs.setters import NO_OP

#: The same bytes from one source are taken for a loop when they have come too fast
#: for so many seconds...
LOOP_SECONDS = 8.0

#: ...or so many times.  After a reply is left out, twice as many are answered.
LOOP_DATAGRAMS = 4600

#: The same on one machine, where no datagram is lost and none comes late: a second
#: or less.
LOCAL_LOOP_DATAGRAMS = 50_000

#: The same bytes after so many seconds are no loop: a client asks again.
FORGET_SECONDS = 10.0

#: Seconds for which a source may have been silent and then send what it did not send
#: meanwhile: a network that stalled may deliver it all at once.
STALL_SECONDS = 8.0

#: Two clocks differ by a thousandth, while both are being set right (500 ppm,
#: adjtimex(2)).
SKEW = 1.002

#: A datagram is gone when it has missed so many of its turns.
MISSED = 8

#: Prefixes of ours that a reply may begin with: two, if the other has the same.
PREFIXES = 4

#: Entries of each half of a table; some 2 MiB.
ENTRIES = 15_000

Value = TypeVar("Value")

Known = tuple[float, int, int, int]


class Recent(Generic[Value]):
    """
    A table that forgets what has not been touched for a while.

    It has two halves.  When the newer one is full or old, it becomes the
    older one, and the table forgets the entries of that.  Entries that are used
    again and again stay, however many others come.

    :param size: of each half.
    :param seconds: after which what was not touched may be forgotten.
    """

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._turned = 0.0
        self._new: dict[object, Value] = {}
        self._old: dict[object, Value] = {}

    def get(self, key: object) -> Value | None:
        """
        Give what is known, if anything.
        """
        value = self._new.get(key)
        return self._old.get(key) if value is None else value

    def put(self, key: object, value: Value, now: float) -> None:
        """
        Remember something.
        """
        if len(self._new) >= self._size or now - self._turned >= self._seconds:
            self._turned = now
            self._old, self._new = self._new, {}
        self._new[key] = value


@define(eq=False, on_setattr=NO_OP)
class Source:
    """
    The repeats from one address and port.

    :ivar busyUntil: when all that came would have come at the allowed rate.
    :ivar since: when the source was last within its rate.
    :ivar begun: the number of repeats at that time.
    :ivar seen: the number of repeats by now.
    :ivar rested: the number of repeats at which one may be left unanswered again.
    :ivar turn: how often one was left unanswered, to see whether it comes back.
    :ivar asked: the number of repeats at the last of these times.
    :ivar gone: the number of repeats by which it would have come back.
    :ivar left: how many were left unanswered in this turn.
    """

    busyUntil: float
    since: float = 0.0
    begun: int = 0
    seen: int = 0
    rested: int = 0
    turn: int = 0
    asked: int = 0
    gone: float = inf
    left: int = 0

    def isTooFast(self, now: float, cost: float) -> bool:
        """
        Count a datagram, and tell whether it is more than a second's worth ahead.

        :param cost: seconds that each takes at the rate.
        """
        self.seen += 1
        if self.busyUntil <= now:
            self.since, self.begun = now, self.seen
            self.busyUntil = max(self.busyUntil, now + 1 - STALL_SECONDS)
        if self.busyUntil > now + 1:
            return True
        self.busyUntil += cost
        return False

    def mayGoRound(self, now: float, most: int, seconds: float) -> bool:
        """
        Tell whether the source has been too fast for so long that one reply may be left out.
        """
        isLong = self.seen - self.begun >= most or now - self.since >= seconds
        return isLong and self.seen >= self.rested

    def leaveFirst(self, times: int, first: int, rest: int) -> None:
        """
        Leave one unanswered, to see whether it comes back.

        :param times: how often it came again.
        :param first: the number of repeats when it first came.
        :param rest: datagrams to answer for each that is left unanswered.
        """
        self.turn += 1
        self.left = 1
        self.asked = self.seen
        self.gone = self.seen + MISSED * (self.seen - first) / times
        self.rested = self.seen + rest

    def cameBack(self, rest: int) -> None:
        """
        Hear that what was left unanswered came back, so it is no loop.
        """
        self.gone = inf
        self.rested = self.asked + self.left * rest


class Loops:
    """
    Find datagrams that go round between two echo services.

    Bytes that come again faster than the rate, for some time, may go round.  To
    learn whether they do, one datagram is left unanswered.  If it does not come back,
    and others do, each of them is left unanswered once: that ends the loop.  If it
    comes back, a client sends it.

    :param rate: datagrams a second that may come again from one source, which may
        come all at once; 0 for any number.
    :param prefix: what the replies begin with.
    :param most: datagrams that may come again too fast.
    :param seconds: how long they may.
    """

    def __init__(
        self,
        rate: int = 100,
        prefix: bytes = b"",
        most: int = LOOP_DATAGRAMS,
        seconds: float = LOOP_SECONDS,
    ) -> None:
        self._cost = 1 / (rate * SKEW) if rate else 0.0
        self._prefix = prefix
        self._most = most
        self._seconds = seconds
        # Of each source and bytes: when they last came, how often they came again, the
        # source's number of repeats when they first came, and the turn in which they
        # were left unanswered.
        self._known: Recent[Known] = Recent(ENTRIES, FORGET_SECONDS)
        self._sources: Recent[Source] = Recent(ENTRIES // 4, inf)

    def end(self, address: object, datagram: bytes, now: float) -> bool:
        """
        Tell whether a datagram must be left unanswered, to end a loop.
        """
        if not self._cost:
            return False
        key, known = self._find(address, datagram)
        source = self._sources.get(address)
        if known is None or now - known[0] >= FORGET_SECONDS:
            self._known.put(key, (now, 0, source.seen if source else 0, 0), now)
            return False
        source = source or Source(now)
        self._sources.put(address, source, now)
        _, times, first, turn = known
        times += 1
        tooFast = source.isTooFast(now, self._cost)
        if turn and turn == source.turn:
            source.cameBack(2 * self._most)
        ends = True
        if source.seen > source.gone and first <= source.asked:
            source.left += 1
        elif tooFast and source.mayGoRound(now, self._most, self._seconds):
            source.leaveFirst(times, first, 2 * self._most)
        else:
            ends = False
        self._known.put(key, (now, times, first, source.turn if ends else turn), now)
        return ends

    def _find(self, address: object, datagram: bytes) -> tuple[int, Known | None]:
        """
        Find what is known of a datagram.  If it is the other echo's reply to our reply,
        find what is known of the first one: it has our prefix before it, and before that
        the prefix of the other echo, which may hold ours as well.

        :return: the datagram's key, and what is known.
        """
        # Hashes of 64 bits, keyed by a secret (PEP 456), stand for the bytes.
        key = hash((address, datagram))
        known = self._known.get(key)
        rest = datagram
        for _ in range(PREFIXES if self._prefix else 0):
            _, found, rest = rest.partition(self._prefix)
            if known is not None or not found:
                break
            known = self._known.get(hash((address, rest)))
        return key, known
