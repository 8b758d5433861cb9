"""
Histograms of times as Prometheus knows them (pure).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from math import frexp

from echotwist.probe.schedule import SECOND

#: Upper bounds of the classic buckets, in nanoseconds: from 0.1 ms to 10 s.
BOUNDS = (
    *(n * unit for unit in (10**5, 10**6, 10**7, 10**8, 10**9) for n in (1, 2, 5)),
    10 * SECOND,
)

#: The schema of native histograms: each power of 2 has 2**SCHEMA buckets, so that each
#: bucket is 9 % wider than the one before.
SCHEMA = 3

#: How many times to collect before they are counted.
_PILE = 64

#: Upper bounds of the native buckets between 1/2 and 1.
_PARTS = tuple(2 ** (number / 2**SCHEMA - 1) for number in range(2**SCHEMA))


class Histogram:
    """
    Count times, in few wide buckets and in many narrow buckets.

    There are at most some hundred narrow buckets: eight for each power of 2.
    Counts are up to date after :meth:`settle`.

    :ivar wide: counts by :data:`BOUNDS`; the last counts all longer times.
    :ivar narrow: counts by the index of a native bucket.
    :ivar zero: how many times were 0.
    :ivar total: the sum of all times, in nanoseconds.
    """

    def __init__(self) -> None:
        self.wide = [0] * (len(BOUNDS) + 1)
        self.narrow: Counter[int] = Counter()
        self.zero = self.total = 0
        self._new: list[int] = []

    def add(self, value: int) -> None:
        """
        Count a time.

        :param value: the time, in nanoseconds.
        """
        self._new.append(value)
        if len(self._new) >= _PILE:
            self.settle()

    def extend(self, values: Iterable[int]) -> None:
        """
        Count some durations.

        :param values: in nanoseconds.
        """
        self._new.extend(values)
        self.settle()

    def settle(self) -> None:
        """
        Count all times added so far; :meth:`add` only collects them.
        """
        new, self._new = self._new, []
        self.total += sum(new)
        for value in new:
            self.wide[bisect_left(BOUNDS, value)] += 1
        some = [bucketOf(value / SECOND) for value in new if value > 0]
        self.narrow.update(some)
        self.zero += len(new) - len(some)


def bucketOf(value: float) -> int:
    """
    Return the index of the native bucket ``(b ** (index - 1), b ** index]`` of a value, where
    ``b ** (2 ** SCHEMA)`` is 2.

    :param value: more than 0.
    """
    part, exponent = frexp(value)
    return bisect_left(_PARTS, part) + (exponent - 1) * len(_PARTS)
