"""
How datagrams are found that go round and round between two echo services.
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

#: The same bytes after so many seconds are no loop, but somebody who asks again.
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
    older one, and what was in that is forgotten.  What is touched again and
    again is never forgotten, however much else comes by.

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
    What came again from one address and port.

    :ivar busyUntil: when it will be back within its rate, had it sent all in time.
    :ivar since: when it last was.
    :ivar begun: how many datagrams had come again then.
    :ivar seen: how many have by now.
    :ivar rested: how many will have when one may be left unanswered.
    :ivar turn: how often one was, to see whether it comes back.
    :ivar asked: how many had come again then.
    :ivar gone: how many will have when it would have been back.
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
        Tell whether it has been too fast for long enough to leave one unanswered.
        """
        isLong = self.seen - self.begun >= most or now - self.since >= seconds
        return isLong and self.seen >= self.rested

    def leaveFirst(self, times: int, first: int, rest: int) -> None:
        """
        Leave one unanswered, to see whether it comes back.

        :param times: that it came again, since ``first`` of all had.
        :param rest: datagrams that must be answered for each that is not.
        """
        self.turn += 1
        self.left = 1
        self.asked = self.seen
        self.gone = self.seen + MISSED * (self.seen - first) / times
        self.rested = self.seen + rest

    def cameBack(self, rest: int) -> None:
        """
        What was left unanswered came back: all others are answered.
        """
        self.gone = inf
        self.rested = self.asked + self.left * rest


class Loops:
    """
    Find datagrams that go round between two echo services.

    What comes again faster than the rate, for some time, may go round.  To learn
    whether it does, one is left unanswered.  If that does not come back, and others
    do, each of them is left unanswered once: that ends the loop.  If it does come
    back, somebody sends it.

    :param rate: datagrams a second that may come again from one source, which may
        come all at once; 0 for any number.
    :param prefix: what the replies begin with.
    :param most: datagrams that may come again too fast.
    :param seconds: for which they may.
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
        # When the same bytes came from a source last, how often they came again, how
        # many of all had come again from it at first, and the turn in which they were
        # left unanswered.
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
        Find what is known of a datagram, or of the one that it is a reply to our reply
        of: that has our prefix, with the prefix of the other echo before it, which may
        hold ours as well.

        :return: the datagram's key, and that.
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
