"""
Where in a stream the answers to probes are.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis.strategies import integers
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.answers import Answers
from echotwist.probe.payload import Payload, damageOf
from echotwist.streams.prefix import LinePrefix
from tests.support.probing import bounded

#: Bytes of a probe.
SIZE = 64


class AnswersTests(SynchronousTestCase):
    """
    Tests for :class:`Answers`.
    """

    def expecting(self, count: int) -> list[bytes]:
        """
        Have so many probes sent; the first has the number 1.
        """
        payload = Payload(b"seed", SIZE)
        sent = [payload.make(number, number * 999_983) for number in range(1, count + 1)]
        self.answers = Answers(lambda number: sent[number - 1])
        for number in range(1, count + 1):
            self.answers.expect(number, SIZE)
        return sent

    def taken(self, data: bytes) -> list[tuple[int, str]]:
        """
        Take what came.

        :return: of each answer its number, and how it is damaged.
        """
        return [
            (number, "" if got == expected else damageOf(expected, got).pattern)
            for number, expected, got in self.answers.take(data)
        ]

    @bounded
    @given(integers(0))
    def test_pieces(self, seed: int) -> None:
        """
        However a stream is cut, each answer is found.
        """
        chance, found = Random(seed), []
        whole = b"".join(self.expecting(10))
        while whole:
            size = chance.randrange(1, 3 * SIZE)
            found += self.taken(whole[:size])
            whole = whole[size:]
        self.assertEqual(found, [(number, "") for number in range(1, 11)])
        self.assertEqual((len(self.answers), self.answers.rest()), (0, 0))

    def test_before(self) -> None:
        """
        A service that puts something before an answer damages that one, and no other.
        """
        one, two, three = self.expecting(3)
        self.assertEqual(self.taken(b"hi: " + one[:-1]), [])
        self.assertEqual(self.taken(one[-1:] + two), [(1, "4 bytes put before"), (2, "")])
        self.assertEqual(self.taken(b"hi: " + three), [(3, "4 bytes put before")])
        self.assertEqual(self.answers.rest(), 0)

    @bounded
    @given(integers(0))
    def test_lines(self, seed: int) -> None:
        """
        A service that puts something before each line does so within probes, too, if they
        have ends of lines, as the tenth has; it is told as what it is.
        """
        chance, found, prefix = Random(seed), [], LinePrefix(b"hi: ")
        sent = self.expecting(40)
        for data in sent:
            came = prefix(data)
            place = chance.randrange(len(came))
            found += self.taken(came[:place])
            found += self.taken(came[place:])
        kinds = {
            data: "4 bytes put before each line" * (b"\n" in data[:-1])
            or "4 bytes put before" * (before.endswith(b"\n") or not before)
            for before, data in pairwise([b"", *sent])
        }
        self.assertEqual(found, [(n, kinds[data]) for n, data in enumerate(sent, 1)])
        self.assertEqual(self.answers.rest(), 0)

    def test_within(self) -> None:
        """
        After bytes within an answer that were put there, or left out, the next is whole.
        """
        for middle, pattern in {
            b"hi: ": "4 bytes more, many bits flipped",
            b"": "cut to 60 of 64 bytes, many bits flipped",
        }.items():
            one, two, three = self.expecting(3)
            changed = one[:30] + middle + one[30 if middle else 34 :]
            self.assertEqual(self.taken(changed + two + three), [(1, pattern), (2, ""), (3, "")])

    def test_flipped(self) -> None:
        """
        An answer at its place is that of its probe, whatever it has.
        """
        _, two = self.expecting(2)
        self.assertEqual(self.taken(b"?" * SIZE + two), [(1, "many bits flipped"), (2, "")])

    def test_end(self) -> None:
        """
        At the end it is known what was not answered, and whether what came is no echo.
        """
        for came, isOther in {b"": False, b"HTTP/1.1 400": True}.items():
            self.expecting(2)
            self.taken(came)
            self.assertEqual(self.answers.end(), ([1, 2], isOther))
        one, _ = self.expecting(2)
        self.taken(one + b"?")
        self.assertEqual(self.answers.end(), ([2], True))
        self.assertEqual(len(self.answers), 0)
