"""
Histograms, and how Prometheus reads them.
"""

from __future__ import annotations

import struct
from itertools import accumulate
from typing import Any

from hypothesis import given
from hypothesis.strategies import integers, lists
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.schedule import SECOND
from echotwist.probe.watch.exposition import Family, Text, pageFor
from echotwist.probe.watch.histogram import BOUNDS, SCHEMA, Histogram, bucketOf
from echotwist.probe.watch.protobuf import KIND, Protobuf
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


Fields = dict[int, list[Any]]


def fieldsOf(data: bytes) -> Fields:
    """
    Read a message of protocol buffers: its numbers and bytes, by their fields.
    """
    found: Fields = {}
    while data:
        key, data = varintIn(data)
        value: Any
        if key & 7 == 0:
            value, data = varintIn(data)
        elif key & 7 == 1:
            [value], data = struct.unpack("<d", data[:8]), data[8:]
        else:
            size, data = varintIn(data)
            value, data = data[:size], data[size:]
        found.setdefault(key >> 3, []).append(value)
    return found


def varintIn(data: bytes) -> tuple[int, bytes]:
    """
    Read a number of any size.
    """
    end = next(place for place, one in enumerate(data) if one < 128) + 1
    return sum((one & 127) << 7 * place for place, one in enumerate(data[:end])), data[end:]


def signed(value: int) -> int:
    """
    Read a number that may be negative.
    """
    return value >> 1 if value & 1 == 0 else -(value >> 1) - 1


def bucketsIn(histogram: Fields) -> dict[int, int]:
    """
    Return the counts of a native histogram, by the index of each bucket.
    """
    deltas = iter(histogram.get(13, []))
    index = count = 0
    found = {}
    for span in map(fieldsOf, histogram[12]):
        index += signed(span[1][0])
        for _ in range(span[2][0]):
            count += signed(next(deltas))
            found[index] = count
            index += 1
    assert not list(deltas)
    return found


class ProtobufTests(SynchronousTestCase):
    """
    Tests for :class:`Protobuf`.
    """

    @bounded
    @given(TIMES)
    def test_histogram(self, values: list[int]) -> None:
        """
        Both histograms are there, and say the same.
        """
        page, made = Protobuf(), histogramOf(values)
        page.add(FAMILY, (("name", "é"),), made)
        size, message = varintIn(page.finish())
        self.assertEqual(size, len(message))
        family = fieldsOf(message)
        self.assertEqual((family[1], family[3]), ([b"rtt_seconds"], [4]))
        metric = fieldsOf(family[4][0])
        self.assertEqual(fieldsOf(metric[1][0]), {1: [b"name"], 2: ["é".encode()]})
        histogram = fieldsOf(metric[7][0])
        self.assertEqual(histogram[1], [len(values)])
        self.assertEqual(histogram[2], [sum(values) / SECOND])
        classic = [(one[1][0], one[2][0]) for one in map(fieldsOf, histogram[3])]
        expected = [(sum(v <= bound for v in values), bound / SECOND) for bound in BOUNDS]
        self.assertEqual(classic, expected)
        self.assertEqual((signed(histogram[5][0]), histogram[7]), (SCHEMA, [values.count(0)]))
        self.assertEqual(bucketsIn(histogram), dict(made.narrow))

    def test_chosen(self) -> None:
        """
        It is written for who likes it as much as anything else; text for all others.
        """
        likes = KIND.decode() + ";proto=io.prometheus.client.MetricFamily;encoding=delimited"
        cases = {
            "": Text,
            "*/*": Text,
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3": Text,
            f"{likes}": Protobuf,
            f"{likes};q=0.7, text/plain;q=0.5": Protobuf,
            f"{likes};q=0.2, text/plain;q=0.5": Text,
            f"{likes};q=0": Text,
            KIND.decode(): Text,
            ";;q=,": Text,
        }
        for accept, kind in cases.items():
            self.assertIs(type(pageFor(accept.encode())), kind, accept)
