"""
Sums over many probes (pure): losses, and round trips.
"""

from __future__ import annotations

from array import array
from collections import Counter

from attrs import define, frozen

from echotwist.probe.distribution import AMPLE, Distribution, Memory

#: How many reasons to count apart: senders of ICMP could invent any number of addresses.
_MOST_REASONS = 100

#: How many round trips are summed up together.
_PILE = 64

#: The name under which the remaining reasons are counted.
OTHERS = "other reasons"


class Reasons(Counter[str]):
    """
    How many times each reason was given.
    """

    def note(self, reason: str) -> None:
        """
        Count a reason; when there are too many, count a new one under :data:`OTHERS`.
        """
        isKnown = reason in self or len(self) < _MOST_REASONS
        self[reason if isKnown else OTHERS] += 1


@define
class Runs:
    """
    Runs of consecutive losses.

    :ivar count: how many runs there were; a single loss is a run, too.
    :ivar longest: losses in the longest run.
    :ivar lost: losses in all.
    """

    count: int = 0
    longest: int = 0
    lost: int = 0
    _now: int = 0

    def feed(self, isLost: bool) -> None:
        """
        Note whether the next probe was lost.
        """
        if not isLost:
            self._now = 0
            return
        self._now += 1
        self.lost += 1
        self.count += self._now == 1
        self.longest = max(self.longest, self._now)


@frozen
class Losses:
    """
    The losses of one target, by reason.

    :param neverLeft: why probes never left, with the count of each reason.
    :param reported: ICMP errors with their senders, and endings of connections, with counts.
    :param unanswered: how many probes left, and got neither reply nor error.
    :param runs: runs of consecutive losses.
    """

    neverLeft: Reasons
    reported: Reasons
    unanswered: int
    runs: Runs


class Times:
    """
    Round trips by one clock.

    They are added several at a time, and before a sum is read.

    :param size: how many probes to remember, a power of 2.
    """

    def __init__(self, size: int, memory: Memory = AMPLE) -> None:
        self._mask = size - 1
        # The latest probes, and their round trips.
        self._numbers, self._known = (array("q", [-1]) * size for _ in range(2))
        # Those that are not summed up yet.
        self._newNumbers, self._new = array("q"), array("q")
        self._rtt, self._ipdv = Distribution(memory), Distribution(memory)
        self._last: int | None = None
        self._jitter = 0.0

    def add(self, number: int, rtt: int) -> None:
        """
        Note a round trip, in the order of arrival.
        """
        self._newNumbers.append(number)
        self._new.append(rtt)
        if len(self._new) >= _PILE:
            self._sumUp()

    def grow(self, times: int) -> None:
        """
        Remember this many times as many probes.
        """
        self._mask = (self._mask + 1) * times - 1
        self._numbers *= times
        self._known *= times

    @property
    def rtt(self) -> Distribution:
        """
        All round trips, in nanoseconds.
        """
        self._sumUp()
        return self._rtt

    @property
    def ipdv(self) -> Distribution:
        """
        The absolute difference between the round trips of consecutive probes (RFC 3393).
        """
        self._sumUp()
        return self._ipdv

    @property
    def jitter(self) -> float:
        """
        Nanoseconds, as in RFC 3550, section 6.4.1, but of round trips.
        """
        self._sumUp()
        return self._jitter

    def _sumUp(self) -> None:
        if self._new:
            self._rtt.extend(self._new)
            self._ipdv.extend(self._differences())
            for rtt in self._new:
                if self._last is not None:
                    self._jitter += (abs(rtt - self._last) - self._jitter) / 16
                self._last = rtt
            del self._newNumbers[:], self._new[:]

    def _differences(self) -> list[int]:
        """
        Compare new round trips with those of the probes before and after, if these are known.
        """
        numbers, known, mask = self._numbers, self._known, self._mask
        found = []
        for number, rtt in zip(self._newNumbers, self._new, strict=True):
            numbers[number & mask], known[number & mask] = number, rtt
            for other in (number - 1, number + 1):
                if numbers[other & mask] == other:
                    found.append(abs(rtt - known[other & mask]))
        return found
