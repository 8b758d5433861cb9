"""
How many targets stand, in a terminal.
"""

from __future__ import annotations

from collections import deque
from io import StringIO
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.distribution import Distribution
from echotwist.probe.glance import Glance
from echotwist.probe.watch.live import Summary, Table


def glance(name: str, past: list[int | None], times: list[int]) -> Glance:
    """
    Make what is shown of a target.
    """
    rtt = Distribution()
    for one in times:
        rtt.add(one)
    lost = sum(one is None for one in past)
    books = SimpleNamespace(sent=len(past), pending=0, back=len(past) - lost, late=0)
    exchange: Any = SimpleNamespace(books=books, rtt=rtt)
    return Glance(name, exchange, deque(past))


GLANCES = [
    glance("well", [10**6] * 30, [10**6, 2 * 10**6, 3 * 10**6]),
    glance("a very long name of a target", [10**6] * 30, [10**6]),
    glance("once", [None] + [10**6] * 29, [10**6]),
    glance("away", [10**6] * 29 + [None], []),
]


class LiveTests(SynchronousTestCase):
    """
    Tests for what a terminal shows.
    """

    def shown(self, width: int, height: int) -> list[str]:
        """
        Return the lines that a terminal of a size shows.
        """
        file = StringIO()
        table = Table(file)
        console = Console(file=file, width=width, height=height, force_terminal=True)
        table._console = console
        found: list[Any] = []
        live: Any = SimpleNamespace(update=lambda text, refresh: found.append(text))
        table._live = live
        table._glances = GLANCES
        table._show()
        return str(found[0].plain).splitlines()

    def test_table(self) -> None:
        """
        Each target has a line that fits, those that lose something now the first ones.
        """
        for width in (80, 200):
            lines = self.shown(width, 20)
            names = [line.split()[0] for line in lines]
            self.assertEqual(names, ["target", "away", "well", "a", "once"])
            self.assertTrue(all(len(line) <= width for line in lines))
            self.assertEqual(lines[2].split()[1:6], ["30", "0", "0", "2.000", "3.000"])
            self.assertEqual(lines[1].split()[1:6], ["30", "1", "0", "-", "-"])
            self.assertEqual(lines[1][-1], "x")

    def test_room(self) -> None:
        """
        Those for which there is no room are counted.
        """
        lines = self.shown(80, 5)
        self.assertEqual(len(lines), 4)
        self.assertTrue(lines[1].startswith("away"))
        self.assertEqual(lines[-1], "... and 2 more")

    def test_line(self) -> None:
        """
        Without rich one line names those that lose something.
        """
        file = StringIO()
        summary = Summary(file)
        summary._glances = GLANCES
        summary._show()
        said = file.getvalue()
        self.assertIn("4 targets, 120 sent, 1 lose something: away", said)
