"""
What ends the program, without a program.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.trial.unittest import SynchronousTestCase

from echotwist.signals import StopSignals, stopAsFailed


class Reactor:
    """
    Stands for a reactor that has the signals of its process, and stops once.
    """

    isStopping = False

    def __init__(self) -> None:
        self.triggers: list[tuple[Any, ...]] = []

    def sigTerm(self, number: int, _: object) -> None:
        """
        Do what Twisted's own does: never called here.
        """

    def stop(self) -> None:
        """
        Stop, unless it does so already.
        """
        if self.isStopping:
            raise ReactorNotRunning
        self.isStopping = True

    def callFromThread(self, call: Callable[..., object], *words: object) -> None:
        """
        Do it now.
        """
        call(*words)

    def addSystemEventTrigger(self, *words: Any) -> None:
        """
        Keep what is to be done at the end.
        """
        self.triggers.append(words)


class StopSignalsTests(SynchronousTestCase):
    """
    Tests for :class:`StopSignals`.
    """

    def setUp(self) -> None:
        """
        Have a reactor take the signals, without any being taken from this process.
        """
        self.reactor: Any = Reactor()
        self.handlers: dict[int, Any] = {signal.SIGHUP: signal.SIG_DFL}
        self.handlers |= dict.fromkeys((signal.SIGTERM, signal.SIGINT), self.reactor.sigTerm)
        self.patch(signal, "getsignal", self.handlers.get)
        self.patch(signal, "signal", self.handlers.__setitem__)
        self.first: list[str] = []
        self.more: list[None] = []
        self.signals = StopSignals(self.first.append, lambda: self.more.append(None))

    def come(self, number: signal.Signals) -> None:
        """
        Have a signal come.
        """
        self.handlers[number](number, None)

    def test_one(self) -> None:
        """
        One signal stops the program, whichever comes, and its name is passed on.
        """
        self.signals.take(self.reactor)
        self.come(signal.SIGINT)
        self.assertTrue(self.reactor.isStopping)
        self.assertEqual((self.first, self.more), (["SIGINT"], []))

    def test_second(self) -> None:
        """
        A second signal is reported, the same or another, but not SIGHUP.
        """
        self.signals.take(self.reactor)
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGTERM):
            self.come(number)
        self.assertEqual((self.first, self.more), (["SIGHUP"], [None, None]))

    def test_end(self) -> None:
        """
        Signals that come while Python ends do nothing.
        """
        self.signals.take(self.reactor)
        ends = {words[3]: words[4] for words in self.reactor.triggers}
        self.assertEqual(ends, dict.fromkeys(self.handlers, signal.SIG_IGN))

    def test_daemon(self) -> None:
        """
        A daemon is another process than the one that was called; it ignores SIGHUP.
        """
        self.patch(os, "getpid", lambda: -1)
        self.signals.take(self.reactor)
        self.assertIs(self.handlers[signal.SIGHUP], signal.SIG_IGN)

    def test_ignored(self) -> None:
        """
        If SIGHUP is ignored, as under nohup(1), it stays so.
        """
        self.handlers[signal.SIGHUP] = signal.SIG_IGN
        self.signals.take(self.reactor)
        self.assertIs(self.handlers[signal.SIGHUP], signal.SIG_IGN)
        self.assertEqual(len(self.reactor.triggers), 2)

    def test_elsewhere(self) -> None:
        """
        Where the reactor does not handle the signals, they belong to the caller.
        """
        self.handlers.update(dict.fromkeys(self.handlers, signal.SIG_DFL))
        self.signals.take(self.reactor)
        self.assertEqual(set(self.handlers.values()), {signal.SIG_DFL})

    def test_failed(self) -> None:
        """
        A failure stops the program with status 1, also if it stops already.
        """
        ends: list[tuple[object, ...]] = []
        self.patch(atexit, "register", lambda *words: ends.append(words))
        for _ in range(2):
            stopAsFailed(self.reactor)
        self.assertEqual(ends, [(os._exit, 1)] * 2)
        self.assertTrue(self.reactor.isStopping)
