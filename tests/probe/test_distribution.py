"""
How values are spread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.distribution import AMPLE, Distribution, Memory
from tests.support.probing import bounded

VALUES = lists(integers(0, 2**50), min_size=1, max_size=200)
SHARES = sampled_from([0, 1, 50, 90, 99, 99.9, 100])


def rank(values: list[int], share: float) -> int:
    """
    Return a percentile, by its definition: the nearest rank.
    """
    return sorted(values)[max(0, math.ceil(round(share * len(values), 6) / 100) - 1)]


class DistributionTests(SynchronousTestCase):
    """
    Tests for :class:`Distribution`.
    """

    def spread(self, values: list[int], memory: Memory = AMPLE) -> Distribution:
        """
        Make one of values.
        """
        made = Distribution(memory)
        for value in values:
            made.add(value)
        return made

    @bounded
    @given(VALUES, SHARES)
    def test_exact(self, values: list[int], share: float) -> None:
        """
        Percentiles are those of the nearest rank; the rest is plain arithmetic.
        """
        found = self.spread(values)
        self.assertEqual(found.percentiles(share), [rank(values, share)])
        self.assertEqual((found.least, found.most), (min(values), max(values)))
        self.assertEqual((found.count, found.total), (len(values), sum(values)))

    @bounded
    @given(VALUES, SHARES)
    def test_rounded(self, values: list[int], share: float) -> None:
        """
        Of many values the percentiles are right within 0.1 %, and ends and mean exact.
        """
        found = self.spread(values, Memory(exact=7))
        [got], wanted = found.percentiles(share), rank(values, share)
        assert got is not None
        self.assertLessEqual(abs(got - wanted), wanted / 1000)
        self.assertEqual((found.least, found.most), (min(values), max(values)))
        self.assertEqual(found.mean, sum(values) / len(values))

    def test_askedAgain(self) -> None:
        """
        Values are ranked once for all who ask, and anew when there is one more.
        """
        asked: list[int] = []

        class Noting(Distribution):
            def _round(self, values: Iterable[int]) -> list[int]:
                asked.extend(values)
                return super()._round(values)

        found = Noting(Memory(exact=0))
        for value in range(100):
            found.add(value)
        first = found.percentiles(50, 100)
        work = len(asked)
        self.assertEqual((found.percentiles(50, 100), first), (first, [49, 99]))
        self.assertEqual(len(asked), work)
        found.add(500)
        self.assertEqual(found.percentiles(50, 100), [50, 500])

    def test_none(self) -> None:
        """
        Where there are no values there are no percentiles.
        """
        self.assertEqual(Distribution().percentiles(50, 99.9), [None, None])
        self.assertIsNone(Distribution().mean)

    def test_bounded(self) -> None:
        """
        However many values there are, few numbers are kept.
        """
        values = [number * 7919 % 10**7 for number in range(100_000)]
        found = self.spread(values, Memory(exact=1000))
        self.assertLess(len(found._values), found._most)
        self.assertLess(found._most, 4000)
        self.assertLess(len(found._rounded), 24 * 1024)
