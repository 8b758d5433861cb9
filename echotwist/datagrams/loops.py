"""
Detection of loops: datagrams that go round between two echo services.
"""

from __future__ import annotations

from math import inf
from typing import Generic, TypeVar

from attrs import define
from attrs.setters import NO_OP

#: The guard tests for a loop when the same bytes from one source have come too fast
#: for so many seconds...
LOOP_SECONDS = 8.0

#: ...or so many times.  After one datagram is left unanswered, twice as many are answered.
LOOP_DATAGRAMS = 4600

#: The number of seconds on one machine, where no datagram is lost and none comes late.
LOCAL_LOOP_DATAGRAMS = 50_000

#: The same bytes after so many seconds are no loop: a client sends them again.
FORGET_SECONDS = 10.0

#: Seconds of silence that a source may make up for at once: a network that stalled
#: may deliver all that it held back in one burst.
STALL_SECONDS = 8.0

#: Two clocks differ by a thousandth, while both are being set right (500 ppm,
#: adjtimex(2)).
SKEW = 1.002

#: A datagram is gone when it has missed so many of its turns.
MISSED = 8

#: How many of our prefixes a reply may begin with: two, if the other echo has the same.
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

    :param size: the entries of each half.
    :param seconds: the time after which an untouched entry may be forgotten.
    """

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._turned = 0.0
        self._new: dict[object, Value] = {}
        self._old: dict[object, Value] = {}

    def get(self, key: object) -> Value | None:
        """
        Return the value of a key, if it is known.
        """
        value = self._new.get(key)
        return self._old.get(key) if value is None else value

    def put(self, key: object, value: Value, now: float) -> None:
        """
        Store the value of a key.
        """
        if len(self._new) >= self._size or now - self._turned >= self._seconds:
            self._turned = now
            self._old, self._new = self._new, {}
        self._new[key] = value


@define(eq=False, on_setattr=NO_OP)
class Source:
    """
    The repeats from one address and port.

    :ivar busyUntil: when all repeats so far would have come at the allowed rate.
    :ivar since: when the source was last within its rate.
    :ivar begun: the number of repeats at that time.
    :ivar seen: the number of repeats by now.
    :ivar rested: the number of repeats at which the next test may begin.
    :ivar turn: the number of tests: one datagram is left unanswered, to see whether its
        bytes come back.
    :ivar asked: the number of repeats when the last test began.
    :ivar gone: the number of repeats by which the bytes would have come back.
    :ivar left: how many datagrams were left unanswered in this test.
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
        Count a datagram, and tell whether the source is more than a second ahead of its rate.

        :param cost: seconds that each datagram takes at the rate.
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
        Tell whether the source has been too fast for long enough to test for a loop.
        """
        isLong = self.seen - self.begun >= most or now - self.since >= seconds
        return isLong and self.seen >= self.rested

    def leaveFirst(self, times: int, first: int, rest: int) -> None:
        """
        Leave one datagram unanswered, to see whether its bytes come back.

        :param times: how often these bytes came again.
        :param first: the number of repeats when these bytes first came.
        :param rest: datagrams to answer for each that is left unanswered.
        """
        self.turn += 1
        self.left = 1
        self.asked = self.seen
        self.gone = self.seen + MISSED * (self.seen - first) / times
        self.rested = self.seen + rest

    def cameBack(self, rest: int) -> None:
        """
        Note that the unanswered bytes came back: a client sends them, so there is no loop.
        """
        self.gone = inf
        self.rested = self.asked + self.left * rest


class Loops:
    """
    Find datagrams that go round between two echo services.

    Bytes that come again faster than the rate, for some time, may go round.  To
    find out, the guard leaves one datagram unanswered.  If its bytes do not come back,
    and others do, the guard leaves each of those unanswered once: that ends the loop.
    If the bytes come back, a client sends them.

    :param rate: repeats a second that one source may send, all at once if it likes;
        0 for any number.
    :param prefix: what the replies begin with.
    :param most: repeats over the rate that are allowed before a test.
    :param seconds: how long a source may be over the rate before a test.
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
        # For each source and bytes: when they last came, how often they came again, the
        # source's number of repeats when they first came, and the test in which they
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
        Look a datagram up.  If it is the other echo's reply to our reply, look up the
        first one: our prefix stands before its bytes, and before that the prefix of the
        other echo, which may contain ours as well.

        :return: the datagram's key, and its entry.
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
