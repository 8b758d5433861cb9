"""
Errors, counted and told sparingly.
"""

from __future__ import annotations

import errno
import os

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echotwist.counters import Counters
from echotwist.journal import Journal


class JournalTests(SynchronousTestCase):
    """
    Tests for :class:`Journal`.
    """

    def setUp(self) -> None:
        """
        Make a journal whose clock stands still.
        """
        self.clock = Clock()
        self.journal = Journal(Counters("UDP"), self.clock.seconds)

    def failed(self, number: int, times: int = 1) -> list[str]:
        """
        Fail so often, and give the lines that were logged.
        """
        with capturedLogs() as events:
            for _ in range(times):
                self.journal.failed("send", OSError(number, os.strerror(number)))
        return [formatEvent(event) for event in events]

    def test_first(self) -> None:
        """
        The first error of a kind is told, in words and with its number.
        """
        self.assertEqual(
            self.failed(errno.ENOBUFS),
            ["UDP send failed: No buffer space available (errno 105)."],
        )

    def test_flood(self) -> None:
        """
        Of 10,000 in a minute one is told; the next minute tells how many.
        """
        self.assertEqual(len(self.failed(errno.ENOBUFS, 10_000)), 1)
        self.clock.advance(60)
        [line] = self.failed(errno.ENOBUFS, 10_000)
        self.assertIn("(10000 times)", line)
        self.assertEqual(self.journal.counters.errors["send", "ENOBUFS"], 20_000)

    def test_broke(self) -> None:
        """
        Exceptions are told as seldom, but with all that there is to know.
        """
        for wrong in (KeyError, KeyError, ValueError):
            try:
                raise wrong
            except Exception:
                self.journal.broke("accept")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(
            self.journal.counters.errors, {("accept", "KeyError"): 2, ("accept", "ValueError"): 1}
        )

    def test_kinds(self) -> None:
        """
        Each kind has a line of its own.
        """
        self.assertEqual(len(self.failed(errno.ENOBUFS) + self.failed(errno.EPERM)), 2)

    def test_refused(self) -> None:
        """
        Refusals are told as sparingly: 10,000 in less than 1 KiB.
        """
        with capturedLogs() as events:
            for _ in range(10_000):
                self.journal.refused("rate")
        self.assertEqual([formatEvent(event) for event in events], ["UDP refused: rate."])
        self.assertEqual(self.journal.counters.refused["rate"], 10_000)
