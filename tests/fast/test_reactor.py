"""
The lean reactor does as ``EPollReactor`` where Twisted's own tests do not look
(those are run by ``tests/reactors.py``).
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from typing import Any
from unittest import skipUnless

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.python import log, runtime
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echotwist.reactors import keepSteady
from tests.support.plain import InPython

if sys.platform == "linux":
    from twisted.internet.epollreactor import EPollReactor

    from echotwist.fast.reactor import LeanReactor

#: Seconds after which a test has failed.
PATIENCE_S = 10


@implementer(IHalfCloseableDescriptor)
class Descriptor(FileDescriptor):
    """
    One end of a pair of sockets, whose other end has sent a byte.

    :param prefix: its log prefix.
    :param read: what reading does.
    :ivar lost: which methods said that it is over.
    """

    def __init__(self, reactor: Any, prefix: str, read: Callable[[], None]) -> None:
        super().__init__(reactor)
        self.ends = socket.socketpair()
        self.ends[1].send(b"x")
        self.prefix, self.read = prefix, read
        self.lost: list[str] = []

    def fileno(self) -> int:
        return self.ends[0].fileno()

    def logPrefix(self) -> str:
        return self.prefix

    def doRead(self) -> None:
        self.ends[0].recv(1)
        self.read()

    def readConnectionLost(self, reason: Failure) -> None:
        self.lost.append("what comes in")

    def writeConnectionLost(self, reason: Failure) -> None:
        self.lost.append("what goes out")

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append("all")

    def close(self) -> None:
        """
        Close both ends.
        """
        for end in self.ends:
            end.close()


class Cases(ReactorBuilder):
    """
    What a reactor has to do.
    """

    def descriptor(self: Any, prefix: str, read: Callable[[], None]) -> Descriptor:
        """
        Make a descriptor that has something to read.
        """
        descriptor = Descriptor(self.reactor, prefix, read)
        self.addCleanup(descriptor.close)
        self.reactor.addReader(descriptor)
        self.addCleanup(self.reactor.removeReader, descriptor)
        return descriptor

    def test_thread(self: Any) -> None:
        """
        What a thread logs says who started it, even when others have events
        by then.
        """
        self.reactor = self.buildReactor()
        events: list[dict[str, Any]] = []
        log.addObserver(events.append)
        self.addCleanup(log.removeObserver, events.append)
        others = threading.Event()

        def work() -> None:
            others.wait(PATIENCE_S)
            log.msg("worked")
            self.reactor.callFromThread(self.reactor.stop)

        def start() -> None:
            self.reactor.callInThread(work)
            self.descriptor("other", others.set)

        self.descriptor("starter", start)
        self.runReactor(self.reactor, PATIENCE_S)
        said = [event["system"] for event in events if event["message"] == ("worked",)]
        self.assertEqual(said, ["starter"])

    def test_farAway(self: Any) -> None:
        """
        A timed call may be farther away than epoll_wait(2) can wait.
        """
        self.reactor = self.buildReactor()
        self.reactor.callLater(2**31, self.fail)
        last = self.descriptor("last", self.reactor.stop)
        self.descriptor("first", lambda: None)
        self.reactor.removeReader(last)
        again = threading.Timer(0.1, self.reactor.callFromThread, [self.reactor.addReader, last])
        self.reactor.callWhenRunning(again.start)
        self.reactor.run()
        self.assertEqual(self.flushLoggedErrors(OverflowError), [])

    def test_raisedEnd(self: Any) -> None:
        """
        A descriptor that raises ``ConnectionDone`` has failed; one that
        returns it has read to the end.
        """
        self.reactor = self.buildReactor()

        def read() -> None:
            self.reactor.stop()
            raise ConnectionDone

        descriptor = self.descriptor("raises", read)
        self.runReactor(self.reactor, PATIENCE_S)
        self.assertEqual(len(self.flushLoggedErrors(ConnectionDone)), 1)
        self.assertEqual(descriptor.lost, ["all"])


class ClockTests(ReactorBuilder, SynchronousTestCase):
    """
    Tests for :func:`keepSteady`.
    """

    reactorFactory = SelectReactor

    def test_stock(self) -> None:
        """
        One of Twisted's reactors no longer looks at the time of the system, and what
        it had to do by then is still to come, by the same clock.
        """
        reactor = self.buildReactor()
        before = reactor.callLater(3600, self.fail)
        self.assertIs(keepSteady(reactor), reactor)
        for call in (before, reactor.callLater(3600, self.fail)):
            self.assertIs(call.seconds, reactor.seconds)
            self.assertApproximates(call.getTime() - reactor.seconds(), 3600, 60)
        self.assertIsNot(reactor.seconds, runtime.seconds)

    def test_again(self) -> None:
        """
        Once is enough, and one with a clock of its own keeps it.
        """
        for reactor in (keepSteady(self.buildReactor()), Clock()):
            clock = reactor.seconds
            self.assertEqual(keepSteady(reactor).seconds, clock)


@skipUnless(sys.platform == "linux", "epoll(7) is Linux's")
class EPollReactorTests(Cases, SynchronousTestCase):
    """
    Stock Twisted.
    """

    if sys.platform == "linux":
        reactorFactory = EPollReactor


@skipUnless(sys.platform == "linux", "epoll(7) is Linux's")
class LeanReactorTests(Cases, SynchronousTestCase):
    """
    Ours.
    """

    if sys.platform == "linux":
        reactorFactory = LeanReactor


class PlainLeanReactorTests(InPython, LeanReactorTests):
    """
    Ours, in Python.
    """
