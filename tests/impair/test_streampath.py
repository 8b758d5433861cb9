"""
A bad path of a stream, under a clock that the tests turn.
"""

from __future__ import annotations

from collections import Counter
from math import sqrt

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from echotwist.impair.grammar import Effect, Impairments
from echotwist.impair.streampath import StreamPath


def pathOf(text: str, number: int = 0) -> tuple[StreamPath, Counter[Effect]]:
    """
    Make one, with what it counts.
    """
    counts: Counter[Effect] = Counter()
    return StreamPath(Impairments.of([text]), "TCP", number, counts), counts


def pieces(path: StreamPath) -> list[tuple[float, bytes]]:
    """
    Take all that is under way, each piece when it leaves.
    """
    found = []
    while (when := path.next) is not None:
        found.append((when, path.take(when)))
    return found


class StreamPathTests(SynchronousTestCase):
    """
    Tests for :class:`StreamPath`.
    """

    def test_delay(self) -> None:
        """
        Bytes leave after the delay, and not before; what is held is known.
        """
        path, counts = pathOf("delay=50ms")
        path.put(1.0, b"one")
        path.put(1.02, b"two")
        self.assertEqual(path.held, 6)
        self.assertEqual(path.take(1.049), b"")
        self.assertEqual(path.take(1.05), b"one")
        self.assertEqual(path.take(1.05), b"")
        self.assertEqual(path.take(1.07), b"two")
        self.assertEqual((path.held, path.next), (0, None))
        self.assertEqual(counts["bytes", "delayed"], 6)

    @given(strategies.lists(strategies.binary(max_size=50)))
    def test_order(self, asked: list[bytes]) -> None:
        """
        Whatever the jitter, rate and pieces, all bytes leave, in their order, in time.
        """
        path, _ = pathOf("delay=5ms,jitter=normal:9ms,rate=9600bit,chunk=1..5,seed=7")
        for number, data in enumerate(asked):
            path.put(number * 0.001, data)
        found = pieces(path)
        self.assertEqual(b"".join(piece for _, piece in found), b"".join(asked))
        times = [when for when, _ in found]
        self.assertEqual(times, sorted(times))
        self.assertEqual(path.held, 0)

    def test_rate(self) -> None:
        """
        A lump leaves as a flow, no faster than the rate.
        """
        path, _ = pathOf("rate=80kbit")
        path.put(0.0, bytes(10_000))
        found = pieces(path)
        self.assertAlmostEqual(found[-1][0], 1.0)
        gone = 0
        for when, piece in found:
            gone += len(piece)
            self.assertAlmostEqual(when, gone / 10_000)
            self.assertLessEqual(len(piece), 1000)
        path.put(5.0, bytes(1000))
        self.assertAlmostEqual(pieces(path)[-1][0], 5.1)

    def test_slow(self) -> None:
        """
        However slow the rate, bytes leave one by one in time.
        """
        path, _ = pathOf("rate=8bit")
        path.put(0.0, b"abc")
        self.assertEqual(pieces(path), [(1.0, b"a"), (2.0, b"b"), (3.0, b"c")])

    @given(strategies.lists(strategies.binary(min_size=1, max_size=20)))
    def test_chunks(self, asked: list[bytes]) -> None:
        """
        Pieces have the sizes that were asked for; where a stream is cut does not depend
        on how it came.
        """
        whole, one = b"".join(asked), pathOf("chunk=1..3,seed=7")[0]
        one.put(0.0, whole)
        expected = [len(piece) for _, piece in pieces(one)]
        self.assertLessEqual({*expected}, {1, 2, 3})
        other, _ = pathOf("chunk=1..3,seed=7")
        for data in asked:
            other.put(0.0, data)
        found = [len(piece) for _, piece in pieces(other)]
        self.assertLessEqual(ends(expected), ends(found))
        self.assertLessEqual(ends(found), ends(expected) | ends(map(len, asked)))

    def test_bulk(self) -> None:
        """
        A long answer in tiny pieces takes time in proportion.
        """
        path, counts = pathOf("chunk=1,seed=7")
        path.put(0.0, bytes(65536))
        self.assertEqual(len(pieces(path)), 65536)
        self.assertEqual(counts["pieces", "cut"], 65536)

    def test_endings(self) -> None:
        """
        So many bytes are given back; then it ends, by whatever comes first.
        """
        path, _ = pathOf("reset=after:10k,stall=after:1k,close=after:1m")
        self.assertEqual((path.ending, path.isOver), ("stall", False))
        self.assertEqual([path.admit(1000), path.isOver], [1000, False])
        self.assertEqual([path.admit(1000), path.isOver], [24, True])
        self.assertEqual(path.admit(1), 0)
        self.assertTrue(pathOf("stall=after:0")[0].isOver)
        endless, _ = pathOf("delay=1ms")
        self.assertEqual((endless.ending, endless.admit(10**9), endless.isOver), ("", 10**9, False))

    def test_share(self) -> None:
        """
        A share of the connections ends at its first byte, the others never; the same
        seed chooses the same.
        """
        over = [pathOf("reset=10%,seed=7", number)[0].isOver for number in range(5000)]
        bound = 4 * sqrt(5000 * 0.1 * 0.9)
        self.assertApproximates(sum(over), 500, bound)
        self.assertEqual([number for number in range(60) if over[number]], [8, 11, 16, 43, 49, 52])


def ends(sizes: object) -> set[int]:
    """
    Tell where pieces end.
    """
    found, place = set(), 0
    for size in sizes:  # type: ignore[attr-defined]
        place += size
        found.add(place)
    return found
