"""
The search for the largest packet that passes, on paths that are made up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.mtu.search import Search, WayBack
from tests.support.probing import bounded

#: The smallest packet, how often a size must have failed, and probes in all.
LEAST, TRIES, MOST = 60, 3, 64

mtus = st.integers(LEAST, 9000)


def searched(
    mtu: int,
    most: int = 1500,
    tells: Callable[[int], int] | None = None,
    lost: Collection[int] = (),
) -> tuple[Search, list[int]]:
    """
    Search on a path.

    :param mtu: of it.
    :param tells: gives what ICMP says of a size that is too large; nothing for a path
        without ICMP.
    :param lost: numbers of probes that get lost, from 0 on.
    :return: the search, and the sizes that it tried.
    """
    search, tried = Search(LEAST, most, TRIES), list[int]()
    while (size := search.next()) is not None:
        number = len(tried)
        tried.append(size)
        if number in lost:
            search.missed(size)
        elif size <= mtu:
            search.answered(size)
        elif tells is not None:
            search.refused(size, tells(size))
        else:
            search.missed(size)
    return search, tried


class SearchTests(SynchronousTestCase):
    """
    Tests for :class:`Search`.
    """

    def test_whole(self) -> None:
        """
        Where the largest packet passes two probes are enough.
        """
        search, tried = searched(1500)
        self.assertEqual((tried, search.isExact, search.isHole), ([60, 1500], True, False))

    def test_icmp(self) -> None:
        """
        What ICMP says is held against the path: that size passes, and one byte more is
        refused.
        """
        search, tried = searched(1400, tells=lambda size: 1400)
        self.assertEqual(tried, [60, 1500, 1400, 1401])
        self.assertEqual((search.passed, search.isExact, search.isHole), (1400, True, False))

    @bounded
    @given(mtu=mtus, most=mtus)
    def test_exact(self, mtu: int, most: int) -> None:
        """
        Without ICMP the size is found to the byte.
        """
        search, tried = searched(mtu, most)
        self.assertEqual((search.passed, search.isExact), (min(mtu, most), True))
        self.assertEqual(search.isHole, mtu < most)
        self.assertLessEqual(len(tried), 28)

    @bounded
    @given(mtu=mtus, steps=st.lists(mtus, min_size=1, max_size=4))
    def test_routers(self, mtu: int, steps: list[int]) -> None:
        """
        Each of several routers tells of its own link; the narrowest is found.
        """
        links = [*(max(mtu, one) for one in steps), mtu]
        told = lambda size: next(one for one in links if one < size)  # noqa: E731
        search, tried = searched(mtu, 9000, told)
        self.assertEqual((search.passed, search.isExact, search.isHole), (mtu, True, False))
        self.assertLessEqual(len(tried), 22)

    @bounded
    @given(mtu=mtus, told=st.integers(0, 65535))
    def test_nonsense(self, mtu: int, told: int) -> None:
        """
        A router that says a wrong size, or 0 as old ones do, misleads nobody.
        """
        search, _ = searched(mtu, 9000, lambda size: told)
        self.assertEqual((search.passed, search.isExact), (mtu, True))

    @bounded
    @given(mtu=mtus, lost=st.sets(st.integers(0, 30), max_size=TRIES - 1), isTold=st.booleans())
    def test_lossy(self, mtu: int, lost: set[int], isTold: bool) -> None:
        """
        Fewer losses than there are tries, wherever they fall, do not make a path narrower.
        """
        search, tried = searched(mtu, 9000, (lambda size: mtu) if isTold else None, lost)
        self.assertEqual((search.passed, search.isExact), (mtu, True))
        self.assertLessEqual(len(tried), MOST)

    @bounded
    @given(mtu=mtus, lost=st.sets(st.integers(0, MOST)))
    def test_never(self, mtu: int, lost: set[int]) -> None:
        """
        Whatever gets lost, what is said to pass does; and there is an end.
        """
        search, tried = searched(mtu, 9000, None, lost)
        self.assertLessEqual(search.passed, mtu)
        self.assertLessEqual(len(tried), MOST)

    def test_silent(self) -> None:
        """
        Where nothing is answered a few small probes are all.
        """
        search, tried = searched(0)
        self.assertEqual((tried, search.passed, search.isExact), ([60] * 4, 0, False))

    def test_late(self) -> None:
        """
        An answer that comes when its size was already given up counts all the same.
        """
        search = Search(LEAST, 1500, TRIES)
        search.answered(60)
        for size in (1500, 1500, 1280, 670):
            self.assertEqual(search.next(), size)
            search.missed(size)
        search.answered(1280)
        self.assertEqual((search.passed, search.next()), (1280, 1390))

    def test_limit(self) -> None:
        """
        A size that this host does not send is no size that the path does not pass.
        """
        search = Search(LEAST, 65535, TRIES)
        search.answered(60)
        self.assertEqual(search.next(), 65535)
        search.limit(1500)
        self.assertEqual(search.next(), 1500)
        search.answered(1500)
        self.assertEqual((search.next(), search.isExact, search.isHole), (None, True, False))


class WayBackTests(SynchronousTestCase):
    """
    Tests for :class:`WayBack`.
    """

    @bounded
    @given(mtu=st.integers(576, 1500), header=st.sampled_from([20, 48]), there=mtus)
    def test_fragments(self, mtu: int, header: int, there: int) -> None:
        """
        The size of fragments gives the size but for a few bytes, and few probes those.
        """
        back, tried = WayBack(), list[int]()

        def hear(size: int) -> None:
            isWhole = size <= mtu
            back.heard(size, 0 if isWhole else (mtu - header) // 8 * 8 + header)

        hear(1501)
        while (size := back.next(there)) is not None:
            tried.append(size)
            hear(size)
        assert back.most is not None
        self.assertTrue(back.least <= mtu <= back.most <= back.least + 7)
        self.assertEqual(back.isExact, True) if there >= mtu + 1 else None
        self.assertLessEqual(len(tried), 3)

    def test_whole(self) -> None:
        """
        Replies that come whole say how much passes at least, and no more.
        """
        back = WayBack()
        back.heard(1400, 0)
        self.assertEqual(
            (back.least, back.most, back.isExact, back.next(1400)), (1400, None, False, None)
        )

    def test_missed(self) -> None:
        """
        A size that nobody answers is not tried for ever.
        """
        back = WayBack()
        back.heard(1500, 1300)
        for _ in range(2):
            self.assertEqual(back.next(1500), 1304)
            back.missed(1304)
        self.assertEqual((back.next(1500), back.least, back.most), (None, 1300, 1307))
