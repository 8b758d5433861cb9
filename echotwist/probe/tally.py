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

    :param size: how many probes to remember, a power of 2.
    :ivar rtt: all round trips, in nanoseconds.
    :ivar last: the latest round trip, if there is one.
    :ivar ipdv: the absolute difference between the round trips of consecutive probes (RFC 3393).
    :ivar jitter: nanoseconds, as in RFC 3550, section 6.4.1, but of round trips.
    """

    def __init__(self, size: int, memory: Memory = AMPLE) -> None:
        self._mask = size - 1
        self._known = array("q", [-1]) * size
        self.rtt, self.ipdv = Distribution(memory), Distribution(memory)
        self.last: int | None = None
        self.jitter = 0.0

    def begin(self, number: int) -> None:
        """
        Note that a probe has no round trip yet.
        """
        self._known[number & self._mask] = -1
        # The place may still have the round trip of a much older probe.
        self._known[(number + 1) & self._mask] = -1

    def add(self, number: int, rtt: int) -> None:
        """
        Note a round trip, in the order of arrival.
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
