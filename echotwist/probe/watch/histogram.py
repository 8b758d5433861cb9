"""
How many values are how large, as Prometheus counts them (pure).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from math import frexp

from echotwist.probe.schedule import SECOND

#: Upper bounds of the buckets of a classic histogram, in nanoseconds: from 0.1 ms to 10 s.
BOUNDS = (
    *(n * unit for unit in (10**5, 10**6, 10**7, 10**8, 10**9) for n in (1, 2, 5)),
    10 * SECOND,
)

#: Of a native histogram each bucket is wider by this power of 2 than the one before: by
#: 9 %.
SCHEMA = 3

#: Times that are counted together.
_PILE = 64

#: Upper bounds of its buckets between 1/2 and 1.
_PARTS = tuple(2 ** (number / 2**SCHEMA - 1) for number in range(2**SCHEMA))


class Histogram:
    """
    Count times, both in few wide buckets and in many narrow ones.

    There are never more than some hundred of those: each doubling of a time has eight.
    Counts are right after :meth:`settle`.

    :ivar wide: counts by :data:`BOUNDS`, and what is beyond the last.
    :ivar narrow: counts by the index of a bucket of a native histogram.
    :ivar zero: how many were 0.
    :ivar total: the sum of all, in nanoseconds.
    """

    def __init__(self) -> None:
        self.wide = [0] * (len(BOUNDS) + 1)
        self.narrow: Counter[int] = Counter()
        self.zero = self.total = 0
        self._new: list[int] = []

    def add(self, value: int) -> None:
        """
        Count a time.

        :param value: in nanoseconds.
        """
        self._new.append(value)
        if len(self._new) >= _PILE:
            self.settle()

    def settle(self) -> None:
        """
        Bring all counts up to date, which is not done for each time alone.
        """
        new, self._new = self._new, []
        self.total += sum(new)
        for value in new:
            self.wide[bisect_left(BOUNDS, value)] += 1
            if value > 0:
                self.narrow[bucketOf(value / SECOND)] += 1
            else:
                self.zero += 1


def bucketOf(value: float) -> int:
    """
    Give the index of the bucket of a native histogram: that of ``(b ** (index - 1), b **
    index]``, where ``b ** (2 ** SCHEMA)`` is 2.

    :param value: more than 0.
    """
    part, exponent = frexp(value)
    return bisect_left(_PARTS, part) + (exponent - 1) * len(_PARTS)
