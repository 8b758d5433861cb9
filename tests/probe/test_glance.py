"""
How one target stands, at a glance.
"""

from __future__ import annotations

from collections import deque

from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.distribution import Distribution
from echotwist.probe.glance import Glance, bars
from echotwist.probe.ledger import NEVER_LEFT, Ledger
from echotwist.probe.text import liveText


class Exchange:
    """
    What a glance looks at.
    """

    def __init__(self) -> None:
        self.books, self.rtt, self.damaged = Ledger(10**9), Distribution(), 0

    def answer(self, count: int, took: int) -> None:
        """
        Have so many probes answered.
        """
        for _ in range(count):
            self.books.answer(self.books.begin(0, 0), took)
            self.rtt.add(took)


class GlanceTests(SynchronousTestCase):
    """
    Tests for :class:`Glance`.
    """

    def test_looks(self) -> None:
        """
        Each look keeps the longest round trip since the last one, or that there were
        losses; where nothing happened it keeps nothing.
        """
        exchange, past = Exchange(), deque[int | None]()
        glance = Glance("udp:a", exchange, past)  # type: ignore[arg-type]
        glance.update(0)
        exchange.answer(1000, 5)
        exchange.answer(1, 7)
        exchange.answer(1, 6)
        glance.update(1)
        self.assertEqual(glance.counts, "1,002 sent, 1,002 back, 1,002/s")
        self.assertEqual(glance.faults, [])
        exchange.books.lose(exchange.books.begin(0, 0), NEVER_LEFT, "why")
        exchange.answer(1, 8)
        exchange.damaged = 2
        glance.update(2)
        glance.update(3)
        self.assertEqual(list(past), [7, None])
        self.assertEqual(glance.faults, ["1 lost (0.0996 %)", "2 damaged"])
        self.assertEqual(
            glance.times,
            "RTT of the last 500, ms:  last 0.000  median 0.000  p99 0.000  max 0.000",
        )
        line = "udp:a 1,004 sent, 1,003 back, 1 lost (0.0996 %), 2 damaged, last 0.008 µs"
        self.assertEqual(liveText([glance]), line)

    def test_bars(self) -> None:
        """
        A longer round trip has a higher bar, and the last one is at the right.
        """
        self.assertEqual(bars([], 10), "")
        self.assertEqual(bars([1000, None, 2000, 8000], 10), "▁x▃█")
        self.assertEqual(bars([1, 1000, None, 1000], 3), "▁x▁")
