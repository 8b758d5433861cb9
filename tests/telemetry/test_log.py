"""
Errors, counted and logged at a limited rate.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echotwist.tap import Options
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.log import RateLimitedLog
from echotwist.telemetry.refusals import REMEDIES


class RateLimitedLogTests(SynchronousTestCase):
    """
    Tests for :class:`RateLimitedLog`.
    """

    def setUp(self) -> None:
        """
        Make a log with a clock that stands still.
        """
        self.clock = Clock()
        self.limitedLog = RateLimitedLog(Counters("UDP"), self.clock.seconds)

    def failed(self, number: int, times: int = 1) -> list[str]:
        """
        Fail so often, and give the lines that were logged.
        """
        with capturedLogs() as events:
            for _ in range(times):
                self.limitedLog.failed("send", OSError(number, os.strerror(number)))
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
        Of 10,000 errors in a minute one is logged; the next minute tells how many.
        """
        self.assertEqual(len(self.failed(errno.ENOBUFS, 10_000)), 1)
        self.clock.advance(60)
        [line] = self.failed(errno.ENOBUFS, 10_000)
        self.assertIn("(10000 times)", line)
        self.assertEqual(self.limitedLog.counters.errors["send", "ENOBUFS"], 20_000)

    def test_broke(self) -> None:
        """
        Exceptions are told as seldom, but with all that there is to know.
        """
        for wrong in (KeyError, KeyError, ValueError):
            try:
                raise wrong
            except Exception:
                self.limitedLog.broke("accept")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(
            self.limitedLog.counters.errors,
            {("accept", "KeyError"): 2, ("accept", "ValueError"): 1},
        )

    def test_kinds(self) -> None:
        """
        Each kind has a line of its own.
        """
        self.assertEqual(len(self.failed(errno.ENOBUFS) + self.failed(errno.EPERM)), 2)

    def refused(self, transport: str, *arguments: Any, times: int = 1) -> list[str]:
        """
        Refuse so often, and give the lines that were logged.
        """
        self.limitedLog = RateLimitedLog(Counters(transport), self.clock.seconds)
        with capturedLogs() as events:
            for _ in range(times):
                self.limitedLog.refused(*arguments)
        return [formatEvent(event) for event in events]

    def test_refused(self) -> None:
        """
        Refusals are told as sparingly: 10,000 in less than 1 KiB.
        """
        said = self.refused("UDP", "source is no host", times=10_000)
        self.assertEqual(said, ["UDP refused: source is no host."])
        self.assertEqual(self.limitedLog.counters.refused["source is no host"], 10_000)

    def test_remedy(self) -> None:
        """
        The line names the last peer, in whatever form it is known, and says what
        helps; a reason of a plugin has neither.
        """
        for peer, text in [
            (("192.0.2.1", 4567), "192.0.2.1:4567"),
            (("::ffff:192.0.2.1", 4567, 0, 0), "192.0.2.1:4567"),
            (("2001:db8::1", 4567, 0, 0), "[2001:db8::1]:4567"),
            (("fe80::1", 4567, 0, socket.if_nametoindex("lo")), "[fe80::1%lo]:4567"),
            (("192.0.2.1", 0), "192.0.2.1"),
            (("2001:db8::1", 0, 0, 0), "2001:db8::1"),
            ("192.0.2.1", "192.0.2.1"),
            (b"/run/peer", "/run/peer"),
            ("\0peer\n", "@peer\\n"),
            (IPv4Address("TCP", "192.0.2.1", 4567), "192.0.2.1:4567"),
            (IPv6Address("TCP", "2001:db8::1", 4567), "[2001:db8::1]:4567"),
            (UNIXAddress("/run/peer"), "/run/peer"),
            (UNIXAddress(None), "(unnamed)"),
        ]:
            [line] = self.refused("UDP", "low source port", peer)
            self.assertEqual(
                line,
                f"UDP refused: low source port, last from {text}; "
                "send from a port above 1023, or allow it with --answer-low-ports.",
            )
        self.assertEqual(
            self.refused("PLUGIN", "too dark", ("192.0.2.1", 1)),
            ["PLUGIN refused: too dark, last from 192.0.2.1:1."],
        )

    def test_times(self) -> None:
        """
        After a minute the line tells how often it happened, and which peer was the
        last.
        """
        self.refused("TCP", "too many connections", "192.0.2.1")
        with capturedLogs() as events:
            for host in ("192.0.2.2", "192.0.2.3"):
                self.limitedLog.refused("too many connections", host)
            self.clock.advance(60)
            self.limitedLog.refused("too many connections", "192.0.2.4")
        [event] = events
        self.assertEqual(
            formatEvent(event),
            "TCP refused: too many connections (3 times), last from 192.0.2.4; "
            "raise --max-connections or the limit on open files.",
        )
        self.assertEqual(event["peer"], "192.0.2.4")
        self.assertIn("--max-connections", event["remedy"])
        self.assertEqual(event["reason"], "too many connections")

    def test_options(self) -> None:
        """
        The options that help are options that there are.
        """
        text = " ".join(" ".join(known.values()) for known in REMEDIES.values())
        options = set(re.findall("--([a-z-]+)", text))
        self.assertGreater(len(options), 3)
        self.assertEqual(options - set(Options()), set())

    def test_told(self) -> None:
        """
        The documentation lists each reason, with what helps.
        """
        page = (Path(__file__).parents[2] / "docs" / "guard.rst").read_text("utf-8")
        rows = re.findall(r"\* - ``(.+)``\n +- .+\n +- (.+)\n", page)
        known = {reason: text for one in REMEDIES.values() for reason, text in one.items()}
        self.assertEqual(dict(rows), {reason: text or "–" for reason, text in known.items()})
