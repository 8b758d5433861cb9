"""
Sums over probes (pure): losses, and round-trip times.
"""

from __future__ import annotations

from array import array
from collections import Counter

from attrs import define, frozen

from echotwist.probe.distribution import AMPLE, Distribution, Memory

#: Reasons that are told apart: who sends ICMP could make up any number of them.
_MOST_REASONS = 100

#: What the others are called.
OTHERS = "other reasons"


class Reasons(Counter[str]):
    """
    How often each of some reasons was given.
    """

    def note(self, reason: str) -> None:
        """
        Count one; a new one that comes after many others counts with others.
        """
        isKnown = reason in self or len(self) < _MOST_REASONS
        self[reason if isKnown else OTHERS] += 1


@define
class Runs:
    """
    How losses follow one another.

    :ivar count: of runs of losses; one alone is a run too.
    :ivar longest: losses in the longest of them.
    :ivar lost: losses in all.
    """

    count: int = 0
    longest: int = 0
    lost: int = 0
    _now: int = 0

    def feed(self, isLost: bool) -> None:
        """
        Hear of the next probe.
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
    Why probes were lost.

    :param neverLeft: reasons, and how often each.
    :param reported: what ICMP said, and from where, or how a connection ended; and how
        often each.
    :param unanswered: how many left, and nothing is known of them.
    :param runs: how they followed one another.
    """

    neverLeft: Reasons
    reported: Reasons
    unanswered: int
    runs: Runs


class Times:
    """
    Round-trip times by one clock.

    :param size: how many probes are remembered, a power of 2.
    :ivar rtt: all of them, in nanoseconds.
    :ivar last: the one that came last, if any.
    :ivar ipdv: how much those of two probes in a row differ (RFC 3393), without sign.
    :ivar jitter: nanoseconds, as RFC 3550, section 6.4.1 has it, of round trips.
    """

    def __init__(self, size: int, memory: Memory = AMPLE) -> None:
        self._mask = size - 1
        self._known = array("q", [-1]) * size
        self.rtt, self.ipdv = Distribution(memory), Distribution(memory)
        self.last: int | None = None
        self.jitter = 0.0

    def begin(self, number: int) -> None:
        """
        Note that nothing is known of a probe yet.
        """
        self._known[number & self._mask] = -1
        # What was there of a probe long ago is no neighbour's.
        self._known[(number + 1) & self._mask] = -1

    def add(self, number: int, rtt: int) -> None:
        """
        Note how long an answer took, as answers come in.
        """
        if self.last is not None:
            self.jitter += (abs(rtt - self.last) - self.jitter) / 16
        self.last = rtt
        self.rtt.add(rtt)
        known, mask = self._known, self._mask
        known[number & mask] = rtt
        for other in (known[(number - 1) & mask], known[(number + 1) & mask]):
            if other >= 0:
                self.ipdv.add(abs(rtt - other))
