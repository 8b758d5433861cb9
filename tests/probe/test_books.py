"""
What became of each probe.
"""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis.strategies import booleans, integers, lists, permutations
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.books import Books
from echotwist.probe.distribution import Memory
from echotwist.probe.ledger import (
    BACK,
    LATE,
    NEVER_LEFT,
    PENDING,
    REPORTED,
    TWICE,
    UNANSWERED,
)
from tests.support.probing import bounded

TIMEOUT = 1000

#: For how many probes there is room.
ROOM = 64


class Truth(NamedTuple):
    """
    What RFC 4737 says of replies, worked out in the simplest way.
    """

    reordered: int
    extents: list[int]


def truthOf(order: list[int]) -> Truth:
    """
    Judge the order of replies (sections 3.3 and 4.2.2 of RFC 4737).
    """
    extents, expected = [], 0
    for place, number in enumerate(order):
        if number >= expected:
            expected = number + 1
            continue
        first = next(earlier for earlier, other in enumerate(order[:place]) if other > number)
        extents.append(place - first)
    return Truth(len(extents), extents)


class BooksTests(SynchronousTestCase):
    """
    Tests for :class:`Books`.
    """

    def books(self, count: int) -> Books:
        """
        Send so many probes, at the times 1, 2 and so on.
        """
        made = Books(TIMEOUT, memory=Memory(probes=ROOM))
        for number in range(1, count + 1):
            self.assertEqual(made.begin(number, number), number)
        return made

    def test_outcomes(self) -> None:
        """
        Each probe is one thing, and what comes afterwards is told apart.
        """
        books = self.books(6)
        self.assertEqual(books.answer(1, TIMEOUT), BACK)
        self.assertEqual(books.answer(1, TIMEOUT), TWICE)
        self.assertTrue(books.lose(2, NEVER_LEFT, "EPERM"))
        self.assertTrue(books.lose(3, REPORTED, "ICMP"))
        self.assertFalse(books.lose(3, REPORTED, "ICMP"))
        self.assertFalse(books.lose(77, REPORTED, "ICMP"))
        self.assertEqual(books.expire(TIMEOUT + 4), [])
        self.assertEqual(books.expire(TIMEOUT + 5), [4])
        self.assertEqual(books.answer(4, TIMEOUT + 1), LATE)
        self.assertEqual(books.answer(4, TIMEOUT + 1), TWICE)
        self.assertEqual(books.answer(5, TIMEOUT + 1), LATE)
        self.assertEqual(books.stateOf(6), PENDING)
        self.assertEqual(
            (books.sent, books.back, books.late, books.twice, books.pending), (6, 1, 2, 2, 1)
        )
        losses = books.losses()
        self.assertEqual(losses.neverLeft, Counter(EPERM=1))
        self.assertEqual(losses.reported, Counter(ICMP=1))
        self.assertEqual((losses.unanswered, losses.runs.lost), (0, 2))

    def test_mistaken(self) -> None:
        """
        A probe that ICMP gave up, and that comes back, is back.
        """
        books = self.books(1)
        books.lose(1, REPORTED, "ICMP")
        self.assertEqual(books.answer(1, 5), BACK)
        self.assertEqual((books.losses().reported, books.losses().runs.lost), (Counter(), 0))
        self.assertEqual((books.pending, books.back), (0, 1))

    @bounded
    @given(permutations(list(range(1, 13))), integers(0, 11))
    def test_order(self, order: list[int], lost: int) -> None:
        """
        Replies out of order are those that RFC 4737 says, by so much as it says.
        """
        books, order = self.books(12), order[lost:]
        for number in order:
            books.answer(number, 1)
        truth = truthOf(order)
        self.assertEqual(books.reordered, truth.reordered)
        self.assertEqual(books.extents.total, sum(truth.extents))
        self.assertEqual(books.extents.most, max(truth.extents, default=None))

    @bounded
    @given(lists(booleans(), min_size=1, max_size=60), booleans())
    def test_runs(self, isLost: list[bool], isForgotten: bool) -> None:
        """
        Runs of losses are counted, also of probes that are no longer remembered.
        """
        books = self.books(len(isLost))
        for number, lost in enumerate(isLost, 1):
            if not lost:
                books.answer(number, 1)
        books.expire(10 * TIMEOUT)
        if isForgotten:
            for _ in range(4 * ROOM):
                books.answer(books.begin(10 * TIMEOUT, 0), 1)
            self.assertFalse(books.isKnown(1))
        runs = "".join(".X"[lost] for lost in isLost).split(".")
        found = books.losses()
        self.assertEqual(found.runs.count, len([run for run in runs if run]))
        self.assertEqual(found.runs.longest, max(map(len, runs)))
        self.assertEqual((found.unanswered, found.runs.lost), (sum(isLost), sum(isLost)))

    @bounded
    @given(permutations(list(range(1, 9))), lists(integers(0, 100), min_size=8, max_size=8))
    def test_variation(self, order: list[int], times: list[int]) -> None:
        """
        IPDV is between probes in a row (RFC 3393), jitter between replies in a row
        (RFC 3550), in whatever order they come.
        """
        books, jitter = self.books(8), 0.0
        for before, number in zip([0, *order], order, strict=False):
            books.answer(number, times[number - 1])
            books.user.add(number, times[number - 1])
            if before:
                jitter += (abs(times[number - 1] - times[before - 1]) - jitter) / 16
        steps = [abs(one - other) for one, other in pairwise(times)]
        self.assertEqual(books.user.ipdv.total, sum(steps))
        self.assertEqual(books.user.ipdv.count, 7)
        self.assertAlmostEqual(books.user.jitter, jitter)

    def test_stale(self) -> None:
        """
        A probe that took the place of another has no neighbour but its own.
        """
        books = Books(TIMEOUT)
        for _ in range(10 * ROOM):
            number = books.begin(0, 0)
            books.answer(number, 1)
            books.user.add(number, number)
        self.assertEqual(books.user.ipdv.count, 10 * ROOM - 1)
        self.assertEqual(books.user.ipdv.most, 1)

    def test_gap(self) -> None:
        """
        There is no variation between two with a lost one in between.
        """
        books = self.books(3)
        books.user.add(1, 10)
        books.user.add(3, 90)
        self.assertEqual(books.user.ipdv.count, 0)

    def test_found(self) -> None:
        """
        A probe is found by the time that it carries.
        """
        books = self.books(0)
        for number in range(1, 300):
            books.begin(number, 1_000_000 + number)
        last = books.sent
        self.assertEqual(books.sentWith(1_000_000 + last), last)
        self.assertEqual(books.sentWith(1_000_000 + last - 50), last - 50)
        self.assertIsNone(books.sentWith(1_000_001))

    def test_crowded(self) -> None:
        """
        Probes beyond all room are lost; no number is mistaken for another.
        """
        books = self.books(0)
        count = 5 * ROOM
        for _ in range(count):
            books.begin(0, 0)
        self.assertFalse(books.isKnown(1))
        self.assertEqual(len(books.expire(2 * TIMEOUT)), books._mask + 1)
        self.assertEqual((books.pending, books.losses().unanswered), (0, count))

    def test_memory(self) -> None:
        """
        100,000 probes under way take less than 32 MiB.
        """
        tracemalloc.start()
        books = Books(TIMEOUT, room=100_000)
        for number in range(100_000):
            books.begin(number, number)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.assertEqual(books.pending, 100_000)
        self.assertTrue(books.isKnown(1))
        self.assertLess(most, 32 * 2**20)

    def test_unanswered(self) -> None:
        """
        What is lost without a word is unanswered.
        """
        books = self.books(2)
        self.assertEqual(books.expire(TIMEOUT + 3), [1, 2])
        self.assertEqual([books.stateOf(n) for n in (1, 2)], [UNANSWERED, UNANSWERED])

    def test_reasons(self) -> None:
        """
        However many reasons somebody makes up, few are told apart.
        """
        books = self.books(0)
        for number in range(1, 1001):
            books.begin(number, number)
            books.lose(number, REPORTED, f"ICMP from {number}")
        reported = books.losses().reported
        self.assertEqual(reported.total(), 1000)
        self.assertLessEqual(len(reported), 101)
