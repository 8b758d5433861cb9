"""
Distributions of values (pure).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable
from itertools import accumulate, chain

from attrs import frozen

#: Values that are kept one by one, in 8 MiB; beyond them only 11 significant bits of
#: each count, so that an endless run never grows.
EXACT = 2**20


@frozen
class Memory:
    """
    How much to remember of one target.

    :param probes: how many single probes to remember, at least.
    :param exact: how many values to keep one by one.
    :param bits: how many significant bits to keep of other values.
    :param recent: how many of the last values to keep at hand.
    """

    probes: int = 2**14
    exact: int = EXACT
    bits: int = 11
    recent: int = 500


#: How many values are summed up together.
_PILE = 64

#: For a few targets.
AMPLE = Memory()


class Distribution:
    """
    The distribution of whole numbers from 0 on.

    Count, sum, least and most are exact for ever.  Percentiles are exact up to
    :data:`EXACT` values, and beyond that right within 0.1 %, if memory is ample.
    """

    def __init__(self, memory: Memory = AMPLE) -> None:
        self._memory = memory
        # The values kept one by one, and after them some that are not counted yet.
        self._values: array[int] = array("q")
        self._most = memory.exact + _PILE
        self._last: deque[int] = deque(maxlen=memory.recent)
        # Of those that are not kept one by one:
        self._rounded: Counter[int] = Counter()
        self._count = self._total = 0
        self._ends: list[int] = []
        self._asked: tuple[int, list[int], list[int]] = 0, [], []

    def add(self, value: int) -> None:
        """
        Add a value; results are computed when they are read, or for many values at once.
        """
        self._values.append(value)
        if len(self._values) >= self._most:
            self._sumUp()

    def extend(self, values: Iterable[int]) -> None:
        """
        Add some values.
        """
        self._values.extend(values)
        if len(self._values) >= self._most:
            self._sumUp()

    def _sumUp(self) -> None:
        exact = self._memory.exact
        rest = self._values[exact:]
        del self._values[exact:]
        self._ends = [min(chain(self._ends, rest)), max(chain(self._ends, rest))]
        self._count += len(rest)
        self._total += sum(rest)
        self._rounded.update(self._round(rest))
        self._last.extend(rest)

    @property
    def recent(self) -> list[int]:
        """
        The last values.
        """
        exact, most = self._memory.exact, self._memory.recent
        count = len(self._values)
        oldest = self._values[max(0, min(exact, count) - most) : exact]
        newest = self._values[max(exact, count - most) :]
        return [*oldest, *self._last, *newest][-most:]

    @property
    def count(self) -> int:
        """
        How many values there are.
        """
        return self._count + len(self._values)

    @property
    def total(self) -> int:
        """
        The sum of all values.
        """
        return self._total + sum(self._values)

    @property
    def least(self) -> int | None:
        """
        The smallest value, if there are values.
        """
        return min(chain(self._ends, self._values), default=None)

    @property
    def most(self) -> int | None:
        """
        The largest value, if there are values.
        """
        return max(chain(self._ends, self._values), default=None)

    @property
    def mean(self) -> float | None:
        """
        The arithmetic mean, if there are values.
        """
        return self.total / self.count if self.count else None

    def percentiles(self, *shares: float) -> list[int | None]:
        """
        Return the smallest values that so many percent of all do not exceed (nearest
        rank); ``None`` for each where there are no values.

        :param shares: in percent, from 0 to 100.
        """
        if not self.count:
            return [None] * len(shares)
        if not self._rounded:
            ordered = sorted(self._values)
            return [ordered[self._rank(share)] for share in shares]
        steps, ends = self._ranked()
        found = [steps[bisect_right(ends, self._rank(share))] for share in shares]
        least, most = self.least, self.most
        assert least is not None
        assert most is not None
        return [min(max(value, least), most) for value in found]

    def _ranked(self) -> tuple[list[int], list[int]]:
        """
        Return the rounded values, and how many do not exceed each; computed once
        until there are more values, as many targets may share one distribution.
        """
        count, steps, ends = self._asked
        if count != self.count:
            counted = self._rounded + Counter(self._round(self._values))
            steps = sorted(counted)
            ends = list(accumulate(counted[step] for step in steps))
            self._asked = self.count, steps, ends
        return steps, ends

    def _rank(self, share: float) -> int:
        # In thousandths of a percent, as a share of 99.9 is no binary number.
        return max(0, -(-round(share * 1000) * self.count // 100_000) - 1)

    def _round(self, values: Iterable[int]) -> list[int]:
        bits = self._memory.bits
        return [
            (value >> shift << shift) + (1 << shift >> 1)
            if (shift := value.bit_length() - bits) > 0
            else value
            for value in values
        ]
