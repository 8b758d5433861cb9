"""
Which probe a reply is to.
"""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis.strategies import binary, integers
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.attribution import AMBIGUOUS, Attribution
from echotwist.probe.ledger import Ledger
from echotwist.probe.payload import HEADER, NUMBER, Payload
from tests.support.probing import bounded

#: When the first probe is sent, and how long after it the next, in nanoseconds.
BEGAN, STEP = 1_800_000_000_123_456_789, 999_983


class AttributionTests(SynchronousTestCase):
    """
    Tests for :class:`Attribution`.
    """

    def sent(self, count: int, size: int = 64) -> list[bytes]:
        """
        Send some probes, which are under way from then on.

        :return: what each has; the first is number 1.
        """
        self.books, payload = Ledger(10**9), Payload(b"seed", size)
        self.found = Attribution(self.books, payload).numberOf
        walls = [BEGAN + STEP * number for number in range(count)]
        return [payload.make(self.books.begin(0, wall), wall) for wall in walls]

    @bounded
    @given(integers(0), integers(1, 400), integers(24, 200))
    def test_never(self, seed: int, count: int, size: int) -> None:
        """
        No reply is taken for that to another probe, however much of it is left and
        wherever it is damaged.
        """
        chance = Random(seed)
        all = self.sent(count, size)
        for number in range(1, count + 1):
            if chance.random() < 0.5:
                self.books.answer(number, 1)
        for _ in range(20):
            number = chance.randrange(count) + 1
            reply = bytearray(all[number - 1])
            for _ in range(chance.choice([0, 0, 1, 3])):
                reply[chance.randrange(NUMBER, size)] ^= 1 << chance.randrange(8)
            cut = bytes(chance.choice([reply, reply[: chance.randrange(size)], reply[3:]]))
            self.assertIn(self.found(cut), (number, AMBIGUOUS, None))

    def test_flipped(self) -> None:
        """
        A reply is known by its header with some bits flipped in it, or with bytes before it.
        """
        all = self.sent(3)
        for number, sent in enumerate(all, 1):
            for bit in range(8 * HEADER):
                flipped = bytearray(sent)
                flipped[bit // 8] ^= 1 << bit % 8
                self.assertEqual(self.found(bytes(flipped)), number)
            self.assertEqual(self.found(b"You said: " + sent), number)
            self.assertEqual(self.found(sent[1:]), number)

    def test_cut(self) -> None:
        """
        What is left of a number tells the probe, or that it is one of several.
        """
        all = self.sent(300)
        for number, sent in enumerate(all, 1):
            for size in range(2, 30):
                self.assertEqual(self.found(sent[:size]), number)
            isOne = 300 - 256 < number <= 256
            self.assertEqual(self.found(sent[:1]), number if isOne else AMBIGUOUS, number)
        self.assertEqual(self.found(b""), AMBIGUOUS)

    def test_copy(self) -> None:
        """
        A byte that is left of a second reply is not taken for the reply to a later probe.
        """
        all = self.sent(1)
        self.books.answer(1, 1)
        for wall in range(256):
            self.books.begin(0, wall)
        self.assertEqual(self.found(all[0][:1]), AMBIGUOUS)

    @bounded
    @given(binary(max_size=100))
    def test_foreign(self, data: bytes) -> None:
        """
        What is no reply is nobody's, also if one probe alone is under way.
        """
        self.sent(1)
        if data[:1] not in (b"", b"\1"):
            self.assertIsNone(self.found(data))

    def test_short(self) -> None:
        """
        Of probes that are shorter than a number the oldest is taken that fits, then a
        second reply to one before.
        """
        all = self.sent(3, size=1)
        self.assertEqual([self.found(sent) for sent in all], [1, 2, 3])
        self.books.answer(1, 1)
        self.assertEqual(self.found(all[0]), 1)
        self.assertEqual(self.found(b"\xff"), 2)
