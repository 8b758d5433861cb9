"""
Histograms, and how Prometheus reads them.
"""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis.strategies import integers, lists
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.schedule import SECOND
from echotwist.probe.watch.exposition import Family, Text
from echotwist.probe.watch.histogram import BOUNDS, SCHEMA, Histogram, bucketOf
from tests.support.probing import bounded

TIMES = lists(integers(0, 100 * SECOND), max_size=200)

FAMILY = Family("rtt_seconds", "histogram", "Round trips.")


def histogramOf(values: list[int]) -> Histogram:
    """
    Count some values.
    """
    made = Histogram()
    for value in values:
        made.add(value)
    made.settle()
    return made


class HistogramTests(SynchronousTestCase):
    """
    Tests for :class:`Histogram`.
    """

    @bounded
    @given(TIMES)
    def test_counts(self, values: list[int]) -> None:
        """
        Each value is in the narrowest bucket that holds it, in both histograms.
        """
        found = histogramOf(values)
        below = [sum(value <= bound for value in values) for bound in BOUNDS]
        self.assertEqual(list(accumulate(found.wide)), [*below, len(values)])
        self.assertEqual(found.total, sum(values))
        self.assertEqual(found.narrow.total() + found.zero, len(values))

    @bounded
    @given(integers(1, 10**15))
    def test_narrow(self, value: int) -> None:
        """
        Bounds of narrow buckets are the powers of 2 ** 1/8, as native histograms have them.
        """
        seconds = value / SECOND
        index = bucketOf(seconds)
        self.assertLessEqual(seconds, 2 ** (index / 2**SCHEMA) * (1 + 1e-12))
        self.assertGreater(seconds * (1 + 1e-12), 2 ** ((index - 1) / 2**SCHEMA))

    def test_edges(self) -> None:
        """
        A power of 2 is the upper bound of its bucket, not in the next one.
        """
        self.assertEqual([bucketOf(value) for value in (0.5, 1, 2, 4)], [-8, 0, 8, 16])

    def test_few(self) -> None:
        """
        Whatever the values are, there are few buckets.
        """
        found = histogramOf([pow(7, number, 10**12) for number in range(20_000)])
        self.assertLess(len(found.narrow), 8 * 42)

    @bounded
    @given(TIMES)
    def test_text(self, values: list[int]) -> None:
        """
        The client library of Prometheus reads what is written.
        """
        text = Text()
        text.add(FAMILY, (("name", 'a "b" \\ c\nd'),), histogramOf(values))
        [family] = text_string_to_metric_families(text.finish().decode())
        self.assertEqual(
            (family.name, family.type, family.documentation),
            ("rtt_seconds", "histogram", "Round trips."),
        )
        samples = {
            (one.name, one.labels.get("le")): (one.value, one.labels["name"])
            for one in family.samples
        }
        self.assertEqual(samples["rtt_seconds_count", None], (len(values), 'a "b" \\ c\nd'))
        self.assertEqual(samples["rtt_seconds_sum", None][0], sum(values) / SECOND)
        for bound in BOUNDS:
            count = sum(value <= bound for value in values)
            self.assertEqual(samples["rtt_seconds_bucket", f"{bound / SECOND:g}"][0], count)
        self.assertEqual(samples["rtt_seconds_bucket", "+Inf"][0], len(values))
