"""
What a probe carries.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import binary, integers, lists, tuples
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.payload import HEADER, Payload, damageOf, headOf
from tests.support.probing import bounded

NUMBERS = integers(0, 2**63)
SIZES = integers(0, 3000)


def flipped(data: bytes, bit: int) -> bytes:
    """
    Flip a bit, that of the highest value of the first byte being 0.
    """
    changed = bytearray(data)
    changed[bit // 8] ^= 0x80 >> bit % 8
    return bytes(changed)


class PayloadTests(SynchronousTestCase):
    """
    Tests for :class:`Payload` and :func:`damageOf`.
    """

    @bounded
    @given(NUMBERS, NUMBERS, SIZES)
    def test_again(self, number: int, wall: int, size: int) -> None:
        """
        The same probe can be made again, has its size, and says its number.
        """
        payload = Payload(b"seed", size)
        made = payload.make(number, wall)
        self.assertEqual(made, Payload(b"seed", size).make(number, wall))
        self.assertEqual(len(made), size)
        if size >= HEADER:
            self.assertEqual(headOf(made), (number, wall))
            self.assertTrue(payload.isOurs(made))
        else:
            self.assertEqual(headOf(made)[0], number % 256 ** min(size, 8))

    @bounded
    @given(lists(tuples(NUMBERS, NUMBERS), min_size=2, max_size=20, unique=True))
    def test_unlike(self, heads: list[tuple[int, int]]) -> None:
        """
        No two probes are alike, and none is like that of another run.
        """
        mine, other = Payload(b"mine", 64), Payload(b"other", 64)
        made = {mine.make(*head) for head in heads} | {other.make(*head) for head in heads}
        self.assertEqual(len(made), 2 * len(heads))
        self.assertFalse(any(other.isOurs(mine.make(*head)) for head in heads))
        self.assertEqual(len({one[HEADER:] for one in made}), len(made))

    @bounded
    @given(binary(min_size=1, max_size=50), SIZES)
    def test_fill(self, fill: bytes, size: int) -> None:
        """
        After the header comes what was asked for, again and again.
        """
        made = Payload(b"seed", size, fill).make(1, 2)
        self.assertEqual(len(made), size)
        self.assertEqual(made[HEADER:], (fill * size)[: max(0, size - HEADER)])

    @bounded
    @given(binary(min_size=1, max_size=100), integers(0, 10**6))
    def test_bit(self, sent: bytes, where: int) -> None:
        """
        One bit that differs is named.
        """
        bit = where % (8 * len(sent))
        damage = damageOf(sent, flipped(sent, bit))
        self.assertEqual((damage.bit, damage.pattern), (bit, "1 bit flipped"))
        self.assertEqual(damage.expected[:1], sent[bit // 8 : bit // 8 + 1])

    @bounded
    @given(binary(max_size=100), binary(max_size=100))
    def test_any(self, sent: bytes, got: bytes) -> None:
        """
        Whatever comes in place of a probe, something is said of it.
        """
        if sent != got:
            damage = damageOf(sent, got)
            self.assertTrue(damage.pattern)
            self.assertLessEqual(damage.bit, 8 * max(len(sent), len(got)))
            self.assertNotEqual(damage.expected, damage.got)

    def test_patterns(self) -> None:
        """
        Usual kinds of damage have their names.
        """
        for got, bit, pattern in [
            (b"abcdef", 48, "cut to 6 of 8 bytes"),
            (b"abcdefgh!!", 64, "2 bytes more"),
            (b"ab\0\0\0\0gh", 17, "bytes set to zero"),
            (b"abcdEfgh", 34, "1 bit flipped"),
            (b"abcd", 32, "cut to 4 of 8 bytes"),
            (b"said:abcdefgh", 3, "5 bytes put before"),
            (b"said:abcdefghsaid:", 3, "5 bytes put before, 5 bytes more"),
            (b"ABCDEFGH...", 2, "3 bytes more, 8 bits flipped"),
            (b"\xff" * 8, 0, "many bits flipped"),
            (b"", 0, "cut to 0 of 8 bytes"),
            (b"bacd", 6, "cut to 4 of 8 bytes, 4 bits flipped"),
        ]:
            damage = damageOf(b"abcdefgh", got)
            self.assertEqual((damage.bit, damage.pattern), (bit, pattern))

    def test_lines(self) -> None:
        """
        What stands before each line is told as that.
        """
        for sent, got, pattern in [
            (b"ab\ncd\n", b"> ab\n> cd\n", "2 bytes put before each line"),
            (b"ab\ncd\n", b"ab\n> cd\n", "2 bytes put before each line"),
            (b"\n\n", b">\n>\n", "1 bytes put before each line"),
            (b"abcd\n", b"> abcd\n", "2 bytes put before"),
            (b"ab\ncd\n", b"ab\n> cd\n> ", "4 bytes more, many bits flipped"),
        ]:
            self.assertEqual(damageOf(sent, got).pattern, pattern)
