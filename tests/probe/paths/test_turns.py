"""
Turns of ports, by a clock that is turned by hand.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.paths.turns import Origin, Turns, shuffled
from echotwist.probe.schedule import SECOND
from tests.support.probing import bounded


def taken(turns: list[Turns], step: int, until: int) -> list[tuple[int, int]]:
    """
    Take all turns that come, looking at the clock after each step.

    :return: of each when it was due, and whose it was.
    """
    for number, one in enumerate(turns):
        one.begin(1000 + number)
    found = []
    for now in range(0, until, step):
        for number, one in enumerate(turns):
            while (due := one.due(now)) is not None:
                found.append((due, number))
    return sorted(found)


class TurnsTests(SynchronousTestCase):
    """
    Tests for :class:`Turns`.
    """

    @bounded
    @given(ports=st.integers(1, 8), rounds=st.integers(1, 6), step=st.integers(1, 10))
    def test_all(self, ports: int, rounds: int, step: int) -> None:
        """
        In each round each port has one turn, and all turns are equally far from each other.
        """
        places, origin = shuffled(ports, rounds, "seed"), Origin()
        turns = [Turns(10, ports, one, origin) for one in places]
        found = taken(turns, step, 10 * ports * rounds + 2000)
        self.assertEqual([due for due, _ in found], [1000 + 10 * n for n in range(ports * rounds)])
        for number in range(rounds):
            some = [port for _, port in found[number * ports : (number + 1) * ports]]
            self.assertEqual(sorted(some), list(range(ports)))
        self.assertEqual([list(one.rounds) for one in turns], [list(range(rounds))] * ports)
        self.assertEqual({one.at for one in turns}, {None})

    def test_other(self) -> None:
        """
        The order differs from round to round, and is the same for the same seed.
        """
        found = shuffled(16, 20, "a")
        self.assertEqual(found, shuffled(16, 20, "a"))
        self.assertNotEqual(found, shuffled(16, 20, "b"))
        self.assertGreater(len({tuple(one[n] for one in found) for n in range(20)}), 15)

    def test_late(self) -> None:
        """
        After a pause no port sends more than two probes at once, while ports take turns: what
        gets lost in a burst is not one port's.
        """
        origin = Origin()
        turns = [Turns(SECOND / 1000, 4, one, origin) for one in shuffled(4, 100, "seed")]
        for one in turns:
            one.begin(0)
        for now in (0, SECOND // 10, SECOND // 2):
            for one in turns:
                count = 0
                while one.due(now) is not None:
                    count += 1
                self.assertLessEqual(count, 2)

    def test_stopped(self) -> None:
        """
        A process that was stopped does not send all that it missed, and knows which rounds
        it did send in.
        """
        turns = Turns(SECOND, 2, [0, 1, 1, 0, 1], Origin())
        turns.begin(0)
        self.assertEqual(turns.due(0), 0)
        self.assertEqual(turns.due(int(6.5 * SECOND)), 5 * SECOND)
        self.assertEqual((list(turns.rounds), turns.skipped), ([0, 2], 1))
        self.assertEqual(turns.at, 6 * SECOND)
        self.assertIs(turns.due(10**12), None)
        self.assertIs(turns.at, None)
