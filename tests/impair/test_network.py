"""
A bad network of datagrams, under a clock that the tests turn.
"""

from __future__ import annotations

import itertools
import tracemalloc
from collections import Counter
from math import sqrt
from statistics import fmean, pstdev

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from echotwist.impair import network as module
from echotwist.impair.chance import Chance
from echotwist.impair.grammar import Effect, Impairments
from echotwist.impair.network import HELD_BYTES, OVERHEAD, Network

PEER = ("192.0.2.1", 4567)

#: What is left of twenty datagrams of 8 bytes.
GOLDEN = """
00000000 0000000000000402 000000000000 0000000000000004 0000000000000006
0000000000000007 0000000000000008 0000000000000009 0000000800000002 000000000000000b
000000000000000c 000000000000000c 000000020000000d 100000000000000e 001000000000000e
0000000000000010 0040000000000011 0000000000000012 0000000000000012
"""

#: Standard deviations that a count may be off; the seeds are fixed.
DEVIATIONS = 4


def network(text: str) -> tuple[Network, Counter[Effect]]:
    """
    Make one, with what it counts.
    """
    counts: Counter[Effect] = Counter()
    return Network(Impairments.of([text]), "UDP", counts), counts


def left(
    text: str, count: int, size: int = 8, pause: float = 0.0
) -> tuple[list[bytes], Counter[Effect]]:
    """
    Send numbered datagrams, and give what leaves in the end, in order.
    """
    one, counts = network(text)
    found: list[bytes] = []
    for number in range(count):
        found += [datagram for datagram, _, _ in one.due(number * pause)]
        one.put(number * pause, number.to_bytes(size, "big"), PEER)
    found += [datagram for datagram, _, _ in one.due(1e9)]
    return found, counts


class NetworkTests(SynchronousTestCase):
    """
    Tests for :class:`Network`.
    """

    def assertShare(self, times: int, count: int, share: float) -> None:
        """
        Check that something happened in a share of the cases.
        """
        bound = DEVIATIONS * sqrt(count * share * (1 - share))
        self.assertApproximates(times, count * share, bound)

    def test_nothing(self) -> None:
        """
        What is impaired in no way leaves at once, whole and in order, with the rest.
        """
        one, counts = network("loss=0")
        for number in range(100):
            one.put(5.0, bytes([number]), PEER, "rest")
            self.assertEqual(list(one.due(5.0)), [(bytes([number]), PEER, "rest")])
        self.assertIsNone(one.next)
        self.assertFalse(+counts)

    def test_loss(self) -> None:
        """
        The share that is asked for is lost, all others leave once.
        """
        for share in (0.0, 0.01, 0.5, 1.0):
            found, counts = left(f"loss={share * 100}%,seed=7", 5000)
            self.assertEqual(len(found) + counts["datagrams", "lost"], 5000)
            self.assertShare(counts["datagrams", "lost"], 5000, share)

    def test_bursts(self) -> None:
        """
        By the model of Gilbert losses come in bursts, of the length that is asked for.
        """
        found, counts = left("loss=gilbert:1%:25%,seed=7", 25_000)
        lost = sorted(set(range(25_000)) - {int.from_bytes(one, "big") for one in found})
        self.assertEqual(len(lost), counts["datagrams", "lost"])
        # The share of the bad state is toBad / (toBad + toGood).
        self.assertApproximates(len(lost) / 25_000, 0.01 / 0.26, 0.008)
        bursts = 1 + sum(b > a + 1 for a, b in itertools.pairwise(lost))
        self.assertApproximates(len(lost) / bursts, 4.0, 0.4)

    def test_both(self) -> None:
        """
        By the model of Gilbert and Elliott both states lose, each its share.
        """
        _, counts = left("loss=gilbert:10%:10%:50%:10%,seed=7", 10_000)
        self.assertApproximates(counts["datagrams", "lost"] / 10_000, 0.3, 0.02)

    def test_duplicate(self) -> None:
        """
        Copies leave right behind what they are copies of.
        """
        found, counts = left("duplicate=10%,seed=7", 5000)
        twice = sum(a == b for a, b in itertools.pairwise(found))
        self.assertEqual(twice, counts["datagrams", "duplicated"])
        self.assertEqual(len(found), 5000 + twice)
        self.assertShare(twice, 5000, 0.1)

    def test_delay(self) -> None:
        """
        A datagram leaves after its delay, and not before.
        """
        one, counts = network("delay=50ms")
        one.put(1.0, b"a", PEER)
        one.put(1.01, b"b", PEER)
        self.assertAlmostEqual(one.next or 0, 1.05)
        self.assertEqual(list(one.due(1.049)), [])
        self.assertEqual([datagram for datagram, _, _ in one.due(1.055)], [b"a"])
        self.assertAlmostEqual(one.next or 0, 1.06)
        self.assertEqual(counts["datagrams", "delayed"], 2)

    def _delays(self, text: str, count: int = 5000) -> list[float]:
        one, _ = network(text)
        delays = []
        for _ in range(count):
            one.put(0.0, b"", PEER)
            delays.append(one.next or 0.0)
            list(one.due(10.0))
        return delays

    def test_uniform(self) -> None:
        """
        Jitter is uniform: all within its bounds, alike often.
        """
        delays = self._delays("delay=50ms,jitter=10ms,seed=7")
        self.assertTrue(0.04 <= min(delays) < 0.0401 and 0.0599 < max(delays) < 0.06)
        self.assertApproximates(fmean(delays), 0.05, 0.0002)
        self.assertApproximates(pstdev(delays), 0.01 / sqrt(3), 0.0001)

    def test_normal(self) -> None:
        """
        Jitter is normal: within one, two and three standard deviations as often as should be.
        """
        delays = self._delays("delay=100ms,jitter=normal:10ms,seed=7")
        for deviations, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
            near = sum(abs(one - 0.1) < deviations * 0.01 for one in delays)
            self.assertApproximates(near / len(delays), share, 0.01)

    def test_noBefore(self) -> None:
        """
        No jitter has anything leave before it came.
        """
        self.assertEqual(min(self._delays("jitter=10ms,seed=7", 100)), 0.0)

    def test_reorder(self) -> None:
        """
        Those that are overtaken count as reordered: their number is below one that has
        left (RFC 4737, section 3.3).
        """
        found, counts = left("delay=50ms,reorder=10%,seed=7", 5000, pause=0.01)
        newest, late = -1, 0
        for number in (int.from_bytes(one, "big") for one in found):
            late += number < newest
            newest = max(newest, number)
        self.assertEqual(sorted(found), [number.to_bytes(8, "big") for number in range(5000)])
        self.assertEqual(late, counts["datagrams", "reordered"])
        self.assertShare(5000 - counts["datagrams", "delayed"], 5000, 0.1)

    def test_lateCopies(self) -> None:
        """
        A datagram that is overtaken counts once, however often it comes.
        """
        plain, counts = left("delay=50ms,reorder=10%,seed=7", 1000, pause=0.01)
        found, twice = left("delay=50ms,reorder=10%,duplicate=100%,seed=7", 1000, pause=0.01)
        self.assertEqual(found[::2], plain)
        kind = "datagrams", "reordered"
        self.assertEqual(twice[kind], counts[kind])

    def test_others(self) -> None:
        """
        What leaves to another peer meanwhile is no other order.
        """
        one, counts = network("jitter=1s,seed=7")
        for number in range(1000):
            one.put(0.0, b"", number)
        self.assertEqual(len(list(one.due(2.0))), 1000)
        self.assertEqual(counts["datagrams", "reordered"], 0)

    def test_corrupt(self) -> None:
        """
        The share of bits that is asked for is flipped, anywhere, and no byte is added.
        """
        found, counts = left("corrupt=1e-3,seed=7", 2000, size=125)
        bits = [int.from_bytes(one, "big") ^ number for number, one in enumerate(found)]
        self.assertEqual({len(one) for one in found}, {125})
        self.assertEqual(counts["bits", "corrupted"], sum(one.bit_count() for one in bits))
        self.assertEqual(counts["datagrams", "corrupted"], sum(map(bool, bits)))
        self.assertShare(counts["bits", "corrupted"], 2_000_000, 1e-3)
        every = 0
        for one in bits:
            every |= one
        self.assertGreater(every.bit_count(), 800)

    def test_allBits(self) -> None:
        """
        All bits can be flipped, or none.
        """
        self.assertEqual(Chance("").flip(b"\0\xff", 1.0), (b"\xff\0", 16))
        self.assertEqual(Chance("").flip(b"\0\xff", 0.0), (b"\0\xff", 0))
        self.assertEqual(Chance("").flip(b"", 1.0), (b"", 0))
        self.assertEqual(Chance("").flip(b"\0", 1e-99), (b"\0", 0))

    def test_truncate(self) -> None:
        """
        What is longer than it may be is cut; or a share of all, at any length.
        """
        one, counts = network("truncate=100")
        for size in (0, 99, 100, 101, 65507):
            one.put(0.0, b"x" * size, PEER)
        sizes = [len(datagram) for datagram, _, _ in one.due(0.0)]
        self.assertEqual(sizes, [0, 99, 100, 100, 100])
        self.assertEqual(counts["datagrams", "truncated"], 2)
        found, counts = left("truncate=10%,seed=7", 5000)
        short = [len(one) for one in found if len(one) < 8]
        self.assertEqual(len(short), counts["datagrams", "truncated"])
        self.assertEqual(set(short), set(range(8)))
        self.assertShare(len(short), 5000, 0.1)

    def test_rate(self) -> None:
        """
        Datagrams leave no faster than the rate, each peer's by itself.
        """
        one, _ = network("rate=80kbit")
        for number in range(10):
            one.put(0.0, bytes(1000), number % 2)
        times = []
        while one.next is not None:
            times.append(round(one.next, 9))
            next(one.due(one.next))
        self.assertEqual(times, [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5])
        one.put(9.0, bytes(1000), 0)
        self.assertEqual(one.next, 9.1)

    def test_room(self) -> None:
        """
        There is room for so many bytes; what is beyond is dropped, and counted.
        """
        one, counts = network("delay=1s,duplicate=100%")
        size = 65507
        fit = HELD_BYTES // (size + OVERHEAD)
        for _ in range(200):
            one.put(0.0, bytes(size), PEER)
        self.assertEqual(counts["datagrams", "dropped"], 400 - fit)
        self.assertEqual(len(list(one.due(2.0))), fit)
        one.put(3.0, b"x", PEER)
        self.assertEqual(len(list(one.due(5.0))), 2)
        one.put(6.0, b"x", PEER)
        one.drop()
        self.assertEqual(counts["datagrams", "dropped"], 400 - fit + 2)
        self.assertIsNone(one.next)

    def test_memory(self) -> None:
        """
        Whoever sends whatever, from however many addresses, fills no more than that.
        """
        room, peers = 2**20, 256
        self.patch(module, "HELD_BYTES", room)
        self.patch(module, "PEERS", peers)
        one, counts = network("delay=1s")
        tracemalloc.start()
        for number in range(room // OVERHEAD + 1000):
            one.put(0.0, b"", (f"192.0.2.{number % 256}", number))
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.assertEqual(counts["datagrams", "dropped"], 1000)
        self.assertLess(used, 1.2 * room)
        self.assertEqual(len(one._paths), peers)

    def test_same(self) -> None:
        """
        A seed has the same happen each time, to the bit: on any machine, and with any
        version of Python.
        """
        text = "loss=10%,duplicate=10%,corrupt=1e-2,truncate=10%"
        found, _ = left(f"{text},seed=7", 20)
        self.assertEqual(found, left(f"{text},seed=7", 20)[0])
        self.assertNotEqual(found, left(f"{text},seed=8", 20)[0])
        self.assertEqual([one.hex() for one in found], GOLDEN.split())

    @given(strategies.lists(strategies.tuples(strategies.integers(0, 3), strategies.binary())))
    def test_alone(self, asked: list[tuple[int, bytes]]) -> None:
        """
        What happens to a peer's datagrams does not depend on those of others.
        """
        text = "loss=30%,duplicate=30%,corrupt=1e-2,truncate=20%,delay=1ms,jitter=9ms,seed=7"
        mixed, alone = network(text)[0], network(text)[0]
        for number in range(4):
            for one in (mixed, alone):
                one.put(0.0, b"first", number)
        for peer, datagram in asked:
            mixed.put(0.0, datagram, peer)
        for number in range(4):
            for peer, datagram in asked:
                if peer == number:
                    alone.put(0.0, datagram, peer)
        together, apart = list(mixed.due(1.0)), list(alone.due(1.0))
        for number in range(4):
            self.assertEqual(
                [one for one in together if one[1] == number],
                [one for one in apart if one[1] == number],
            )

    def test_lossStays(self) -> None:
        """
        Which datagrams a seed loses does not depend on what else is impaired.
        """
        found, _ = left("loss=10%,seed=7", 500)
        more, _ = left("loss=10%,delay=9ms,jitter=normal:1ms,truncate=7,corrupt=1e-9,seed=7", 500)
        self.assertEqual([one[:7] for one in found], sorted(more))
