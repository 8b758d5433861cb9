"""
Tests of significance, on known examples and on noise.
"""

from __future__ import annotations

from math import comb
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.paths.outliers import ALPHA, Loss, leastLoss, lossy, shareOf, slow
from echotwist.probe.paths.significance import blockedRanks, fisher, holm, ranks, twoSided
from tests.support.probing import bounded


class SignificanceTests(SynchronousTestCase):
    """
    Tests for the tests of significance.
    """

    def test_tea(self) -> None:
        """
        The lady who tells all four of eight cups apart does so by chance once in 70 times,
        three or more in 17 of 70 (R. A. Fisher, The Design of Experiments).
        """
        self.assertAlmostEqual(fisher(4, 4, 4, 8), 1 / 70, 12)
        self.assertAlmostEqual(fisher(3, 4, 4, 8), 17 / 70, 12)

    def test_diet(self) -> None:
        """
        Of 12 men 1 and of 12 women 9 are on a diet: chance says so in 0.13793 % of all
        cases, one-sided.
        """
        self.assertAlmostEqual(fisher(9, 12, 10, 24), 0.0013797, 6)

    @bounded
    @given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
    def test_exact(self, sent: int, lost: int, others: int, alsoLost: int) -> None:
        """
        It is the sum of whole numbers of ways.
        """
        lost, alsoLost = min(lost, sent), min(alsoLost, others)
        all, kept = lost + alsoLost, sent + others - lost - alsoLost
        ways = sum(
            comb(all, some) * comb(kept, sent - some) for some in range(lost, min(sent, all) + 1)
        )
        exact = ways / comb(sent + others, sent)
        self.assertAlmostEqual(fisher(lost, sent, all, sent + others), exact, 9)

    def test_holm(self) -> None:
        """
        Holm's method, as R's ``p.adjust(p, "holm")`` has it.
        """
        found = holm([0.01, 0.02, 0.03, 0.04, 0.05])
        self.assertEqual([round(one, 6) for one in found], [0.05, 0.08, 0.09, 0.09, 0.09])
        self.assertEqual(holm([0.5, 0.001, 1.0]), [1.0, 0.003, 1.0])
        self.assertEqual(holm([]), [])

    def test_ranks(self) -> None:
        """
        Equal values share their ranks.
        """
        self.assertEqual(ranks([30, 10, 20, 20]), [4, 1, 2.5, 2.5])
        self.assertEqual(ranks([]), [])

    def test_normal(self) -> None:
        """
        Five of 100 normal deviates are farther from 0 than 1.96.
        """
        self.assertAlmostEqual(twoSided(1.959964), 0.05, 6)
        self.assertAlmostEqual(twoSided(-2.575829), 0.01, 6)
        self.assertEqual(twoSided(0), 1)

    def test_friedman(self) -> None:
        """
        Three parts in four rounds, always in the same order: the first has a sum of ranks of
        4 where 8 are expected, with a variance of 4 * 2 / 3.
        """
        found = blockedRanks([[1, 2, 3], [10, 20, 30], [5, 6, 9], [0, 1, 2]])
        self.assertAlmostEqual(found[0], -4 / (8 / 3) ** 0.5, 9)
        self.assertAlmostEqual(found[1], 0, 9)
        self.assertAlmostEqual(found[2], 4 / (8 / 3) ** 0.5, 9)

    def test_missing(self) -> None:
        """
        Rounds in which one alone has a value say nothing.
        """
        self.assertEqual(blockedRanks([[None, 5.0], [None, None]]), [0.0, 0.0])
        self.assertEqual(blockedRanks([]), [])


def losses(random: Random, chances: list[float], sent: int) -> list[Loss]:
    """
    Lose probes by chance.
    """
    return [Loss(sent, sum(random.random() < one for _ in range(sent))) for one in chances]


class OutlierTests(SynchronousTestCase):
    """
    Tests for :func:`lossy` and :func:`slow`.
    """

    def test_healthy(self) -> None:
        """
        Where all ports are alike, however much they lose, one of 100 measurements accuses
        any of them.
        """
        random, accused = Random(1), 0
        for number in range(200):
            chance = (0, 0.001, 0.02, 0.3)[number % 4]
            accused += any(one.sign for one in lossy(losses(random, [chance] * 64, 50)))
        self.assertLessEqual(accused, 3)

    def test_bursts(self) -> None:
        """
        Losses of all ports at the same time, as in a full queue, accuse none.
        """
        random, accused = Random(2), 0
        for _ in range(50):
            lost = [0] * 64
            for _ in range(50):
                if random.random() < 0.1:
                    for one in random.sample(range(64), 40):
                        lost[one] += 1
            accused += any(one.sign for one in lossy([Loss(50, one) for one in lost]))
        self.assertLessEqual(accused, 2)

    def test_gilbert(self) -> None:
        """
        Nor do bursts that are longer or shorter than a round, and hit whatever is sent.
        """
        random, accused = Random(3), 0
        for number in range(60):
            lost, isBad = [0] * 16, False
            for _ in range(50):
                for one in random.sample(range(16), 16):  # In another order in each round.
                    # E. N. Gilbert's model, with bursts of 10 probes, or of 50.
                    isBad = random.random() < (0.02 if not isBad else (0.9, 0.98)[number % 2])
                    lost[one] += isBad
            accused += any(one.sign for one in lossy([Loss(50, one) for one in lost]))
        self.assertLessEqual(accused, 2)

    @bounded
    @given(st.integers(1, 32), st.sampled_from([0.4, 0.7, 1.0]), st.integers(0, 10**6))
    def test_bad(self, count: int, chance: float, seed: int) -> None:
        """
        Ports that lose much are all found, up to half of them, and no others.
        """
        random = Random(seed)
        bad = set(random.sample(range(64), count))
        parts = losses(random, [chance if one in bad else 0.0 for one in range(64)], 50)
        found = lossy(parts)
        assert {number for number, one in enumerate(found) if one.sign} == bad
        assert all(one.chance < ALPHA for number, one in enumerate(found) if number in bad)

    @bounded
    @given(st.integers(2, 60), st.integers(0, 10**6))
    def test_bundle(self, count: int, seed: int) -> None:
        """
        A path that loses a third is found if few of the ports take it, half or nearly all.
        In one of 100 measurements another port is named, too, by chance.
        """
        random = Random(seed)
        bad = set(random.sample(range(64), count))
        chances = [1 / 3 if one in bad else 0.001 for one in range(64)]
        found = lossy(losses(random, chances, 60))
        named = {number for number, one in enumerate(found) if one.sign}
        assert bad <= named
        assert len(named - bad) <= 1

    def test_mixed(self) -> None:
        """
        Ports of a path that is merely worse are named where it is certain, and no others.
        """
        random, named, wrong = Random(6), 0, 0
        for _ in range(40):
            parts = losses(random, [0.3] * 16 + [0.02] * 48, 50)
            signs = [one.sign for one in lossy(parts)]
            named += sum(signs[:16])
            wrong += sum(signs[16:])
        self.assertGreater(named, 0.8 * 40 * 16)
        self.assertLessEqual(wrong, 1)

    def test_hidden(self) -> None:
        """
        Ports that lose everything do not hide one that loses a quarter.
        """
        parts = [Loss(100, 100)] * 20 + [Loss(100, 25)] + [Loss(100, 0)] * 43
        self.assertEqual([one.sign for one in lossy(parts)], [1] * 21 + [0] * 43)

    def test_least(self) -> None:
        """
        What would have been named is: one less would not.
        """
        parts = [Loss(50, 0)] * 63
        least = leastLoss([*parts, Loss(50, 0)])
        assert least is not None
        named = lossy([*parts, least])
        missed = lossy([*parts, Loss(50, least.lost - 1)])
        self.assertEqual((named[-1].sign, missed[-1].sign), (1, 0))
        self.assertLessEqual(least.lost, 4)
        self.assertIs(leastLoss([Loss(1, 0)] * 4), None)

    def test_slow(self) -> None:
        """
        A port that takes longer is found though the path changes from round to round by
        more than that.
        """
        random = Random(3)
        rounds = []
        for _ in range(50):
            base = random.uniform(1e6, 50e6)
            times: list[int | None] = [round(base + random.gauss(0, 3e5)) for _ in range(32)]
            times[7] = round(base + 4e6 + random.gauss(0, 3e5))
            times[9] = None if random.random() < 0.3 else times[9]
            rounds.append(times)
        found = slow(rounds)
        self.assertEqual([number for number, one in enumerate(found) if one.sign], [7])
        self.assertEqual(found[7].sign, 1)

    def test_fast(self) -> None:
        """
        So is one that does not take as long.
        """
        random = Random(4)
        rounds = [
            [round(random.gauss(2e6 if one == 3 else 5e6, 1e5)) for one in range(16)]
            for _ in range(30)
        ]
        self.assertEqual([one.sign for one in slow(rounds)], [0, 0, 0, -1] + [0] * 12)

    def test_half(self) -> None:
        """
        Where half of the ports take longer these are named, and not the others for being
        faster; where most do, the few are that do not.
        """
        random = Random(7)
        for count, signs in {16: [1] * 16 + [0] * 16, 26: [0] * 26 + [-1] * 6}.items():
            rounds = [
                [round(random.gauss(8e6 if one < count else 5e6, 5e5)) for one in range(32)]
                for _ in range(40)
            ]
            self.assertEqual([one.sign for one in slow(rounds)], signs)

    def test_alike(self) -> None:
        """
        Noise accuses no port; nor does a difference that is real and too small to matter.
        """
        random, accused = Random(5), 0
        for _ in range(60):
            rounds = [
                [round(1e6 + random.expovariate(1 / 5e5)) for _ in range(32)] for _ in range(40)
            ]
            accused += any(one.sign for one in slow(rounds))
        self.assertLessEqual(accused, 1)
        rounds = [[1_000_000 + 1000 * (one == 5) for one in range(16)] for _ in range(40)]
        found = slow(rounds)
        self.assertTrue(found[5].chance < ALPHA)
        self.assertEqual([one.sign for one in found], [0] * 16)

    def test_few(self) -> None:
        """
        A few rounds accuse nobody, nor does a port alone.
        """
        self.assertEqual([one.sign for one in slow([[1, 2, 10**9]] * 5)], [0, 0, 0])
        self.assertEqual([one.sign for one in slow([[5]] * 50)], [0])
        self.assertEqual(slow([]), [])
        self.assertEqual([one.sign for one in lossy([Loss(50, 50)])], [0])

    def test_share(self) -> None:
        """
        Wilson's interval, as in the literature: 10 of 20 are 30 to 70 of 100.
        """
        low, high = shareOf(10, 20)
        self.assertAlmostEqual(low, 0.2993, 4)
        self.assertAlmostEqual(high, 0.7007, 4)
        self.assertEqual(shareOf(0, 20)[0], 0)
