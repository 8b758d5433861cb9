"""
What fast connections leave to a function of the lean reactor.
"""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import weakref
from types import SimpleNamespace
from typing import Any
from unittest import skipUnless

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echotwist import EchoFactory, EchoService, Settings
from echotwist.monitoring.metrics import EchoCollector
from echotwist.telemetry.counters import fromLine, toLine
from tests.support.plain import InPython

LINUX = sys.platform == "linux"
if LINUX:
    from echotwist.fast import messages
    from echotwist.fast.connection import PROVEN, FastConnection
    from echotwist.fast.messages import BULK, MOST
    from echotwist.fast.reactor import LeanReactor
    from echotwist.fast.splice import relay


@skipUnless(LINUX, "needs Linux")
class UsualTests(SynchronousTestCase):
    """
    What a :class:`FastConnection` leaves to a function of the :class:`LeanReactor`
    keeps all promises.
    """

    def setUp(self) -> None:
        """
        Connect somebody who goes on and on.
        """
        self.reactor, self.clock = LeanReactor(), Clock()
        self.addCleanup(self.reactor._poller.close)
        for waker in self.reactor._internalReaders:
            self.addCleanup(waker.connectionLost, None)
        self.factory = EchoFactory(verbose=True, stallTimeout=8, idleTimeout=80, reactor=self.clock)
        self.counters = self.factory.counters
        self.transport, self.peer = self.connected()
        for _ in range(3):
            self.assertEqual(self.echoed(b"hello"), b"hello")
        self.assertIn(self.transport.fileno(), self.reactor._usual)

    def connect(self) -> tuple[Any, socket.socket]:
        """
        Connect somebody.
        """
        near, peer = socket.socketpair()
        self.addCleanup(peer.close)
        peer.setblocking(False)
        echo = self.factory.buildProtocol(None)
        assert echo is not None
        server = SimpleNamespace(
            limitedLog=self.factory.limitedLog,
            reactor=self.clock,
            addressOf=lambda name: UNIXAddress(None),
        )
        transport = FastConnection(near, echo, ("", None), server, 0, self.reactor)
        echo.makeConnection(transport)
        return transport, peer

    def connected(self) -> tuple[Any, socket.socket]:
        """
        Connect somebody who stays until the end.
        """
        transport, peer = self.connect()
        self.addCleanup(transport.connectionLost, Failure(ConnectionDone()))
        return transport, peer

    def echoed(self, data: bytes) -> bytes:
        """
        Send something, and give what has come back.
        """
        self.peer.send(data)
        self.reactor.doIteration(0)
        try:
            return self.peer.recv(2**20)
        except BlockingIOError:
            return b""

    def fill(self) -> int:
        """
        Send until some of it waits here for room.

        :return: how many bytes that were.
        """
        sent = 0
        while not self.transport._tempDataLen:
            with contextlib.suppress(BlockingIOError):
                sent += self.peer.send(bytes(50_000))
            self.reactor.doIteration(0)
        return sent

    def test_counted(self) -> None:
        """
        Whoever asks for the numbers gets them to the last byte: the metrics, the parent
        of a worker, and the sum of both.
        """
        for number, told in enumerate(
            (
                lambda: next(
                    sample.value
                    for family in EchoCollector([self.counters]).collect()
                    for sample in family.samples
                    if sample.name == "echotwist_received_bytes_total"
                ),
                lambda: fromLine(toLine([self.counters]))[0].receivedBytes,
                lambda: self.counters.settle().sentBytes,
            )
        ):
            self.assertEqual(self.echoed(b"12345"), b"12345")
            self.assertEqual(told(), 20 + 15 * number)
            for _ in range(2):
                self.assertEqual(self.echoed(b"hello"), b"hello")
            self.assertIn(self.transport.fileno(), self.reactor._usual)

    def test_service(self) -> None:
        """
        So does whoever has the service as a library.
        """
        service = EchoService(Settings(port=0), self.reactor)
        service._counters[:] = [self.counters]
        self.assertEqual([one.receivedBytes for one in service.counters], [15])
        self.assertEqual(self.echoed(b"hello") + self.echoed(b"hello"), 2 * b"hello")
        self.assertEqual([one.receivedBytes for one in service.counters], [25])

    def test_log(self) -> None:
        """
        So does the log, when the connection has ended.
        """
        with capturedLogs() as events:
            self.peer.close()
            self.reactor.doIteration(0)
            self.transport.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([event["bytes"] for event in events], [15])
        self.assertEqual(self.counters.receivedBytes, 15)

    def test_nextOfDescriptor(self) -> None:
        """
        The next connection of the same descriptor begins with nothing.
        """
        fd = self.transport.fileno()
        self.transport.connectionLost(Failure(ConnectionDone()))
        self.transport, self.peer = self.connected()
        self.assertEqual(self.transport.fileno(), fd)
        self.assertEqual(self.echoed(b"hello"), b"hello")
        self.assertEqual(self.transport.protocol.received, 5)
        self.assertEqual(self.counters.receivedBytes, 20)

    def test_idle(self) -> None:
        """
        Somebody who goes on is not idle, and somebody who does not is, also where
        nobody looks for stalls.
        """
        self.factory._stallTimeout.stop()
        for _ in range(100):
            self.echoed(b"hello")
            self.echoed(b"hello")
            self.clock.advance(10)
        self.assertEqual(self.counters.idle, 0)
        self.clock.pump([10] * 10)
        self.assertEqual(self.counters.idle, 1)

    def test_drain(self) -> None:
        """
        Nor does somebody who goes on end when the service stops, until the last moment.
        """
        self.factory._stallTimeout.stop()
        self.factory.drain(60)
        for _ in range(50):
            self.echoed(b"hello")
            self.echoed(b"hello")
            self.clock.advance(0.2)
        self.assertEqual(self.counters.drained, 0)
        self.clock.pump([0.2] * 10)
        self.assertEqual(self.counters.drained, 1)

    def test_stall(self) -> None:
        """
        Somebody who suddenly takes nothing is found, although all was written.
        """
        self.factory._idleTimeout.stop()
        self.clock.advance(1)  # Nothing waits; nobody looks any more.
        self.peer.send(b"hello")
        self.reactor.doIteration(0)
        self.peer.recv(5)
        for _ in range(3):
            self.peer.send(b"hello")
            self.reactor.doIteration(0)
        for _ in range(12):
            self.clock.advance(1)
            self.reactor.runUntilCurrent()
        self.assertEqual(self.counters.stalled, 1)

    def test_moves(self) -> None:
        """
        Somebody who goes on is left to the function, however often somebody looks for
        stalls; whoever has stopped is not, and then nobody looks any more.
        """
        self.factory._idleTimeout.stop()
        for _ in range(5):
            for _ in range(2):
                self.assertEqual(self.echoed(b"hello"), b"hello")
            self.clock.advance(1)
            self.assertIn(self.transport.fileno(), self.reactor._usual)
        self.clock.advance(1)
        self.assertNotIn(self.transport.fileno(), self.reactor._usual)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.counters.receivedBytes, 65)

    def test_order(self) -> None:
        """
        While something waits for room nothing overtakes it.
        """
        sent, got = self.fill(), b""
        self.assertNotIn(self.transport.fileno(), self.reactor._usual)
        for _ in range(100):
            with contextlib.suppress(BlockingIOError):
                got += self.peer.recv(2**20)
            self.reactor.doIteration(0)
        self.assertEqual(self.echoed(b"last"), b"last")
        self.counters.settle()
        self.assertEqual((len(got), self.transport.protocol.received), (sent, 15 + sent + 4))

    def test_fair(self) -> None:
        """
        One that has always something to leave holds up neither those that leave nothing
        nor those that have no function.
        """
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        far.send(b"hello")
        restless = FileDescriptor()
        restless.fileno = near.fileno  # type: ignore[method-assign]
        restless.doUnusual = lambda: None  # type: ignore[attr-defined]
        self.reactor.addReader(restless)
        self.reactor.addUsual(restless, lambda fd: ())
        self.reactor.doIteration(0)
        for _ in range(3):
            self.assertEqual(self.echoed(b"hello"), b"hello")
        peer = self.connected()[1]
        peer.send(b"hello")
        self.reactor.doIteration(0)
        self.assertEqual(peer.recv(9), b"hello")
        self.reactor.removeReader(restless)

    def test_bulk(self) -> None:
        """
        Bulk is another function's, to the last byte, until somebody stops.
        """
        fd, sent, got = self.transport.fileno(), 0, 0
        self.transport.protocol.received = PROVEN
        while self.reactor._usual.get(fd) in (None, messages.echo):
            sent += self.peer.send(bytes(MOST))
            self.reactor.doIteration(0)
            got += len(self.peer.recv(2**20))
        self.assertGreater(sent, BULK)
        self.assertEqual(self.echoed(b"hello"), b"hello")
        self.assertEqual(got, sent)
        self.assertEqual(self.counters.settle().receivedBytes, 15 + sent + 5)
        self.transport.settle()
        self.assertNotIn(fd, self.reactor._usual)
        self.assertEqual(self.echoed(b"hello"), b"hello")
        self.assertIs(self.reactor._usual[fd], messages.echo)

    def test_bulkEnds(self) -> None:
        """
        What a peer of bulk has no room for waits, and so does its end.
        """
        self.test_bulk()
        self.transport._echo = relay()
        sent, got = self.fill(), b""
        self.peer.shutdown(socket.SHUT_WR)
        while True:
            self.reactor.doIteration(0)
            with contextlib.suppress(BlockingIOError):
                if not (data := self.peer.recv(2**20)):
                    break
                got += data
        self.assertEqual(len(got), sent)

    def test_pause(self) -> None:
        """
        Whatever comes while reading is paused waits, and is echoed afterwards.
        """
        self.transport.pauseProducing()
        self.assertEqual(self.echoed(b"wait"), b"")
        self.transport.resumeProducing()
        self.assertEqual(self.echoed(b"!"), b"wait!")

    def test_nextProtocol(self) -> None:
        """
        What comes for the next protocol does not go to the function.
        """
        got: list[bytes] = []
        heir = SimpleNamespace(dataReceived=got.append, connectionLost=lambda reason: None)
        self.transport.setProtocol(heir)
        self.assertEqual(self.echoed(b"mine"), b"")
        self.assertEqual((got, self.counters.receivedBytes), ([b"mine"], 15))
        self.factory.closed(next(iter(self.factory._open)), Failure(ConnectionDone()))

    def test_freed(self) -> None:
        """
        A connection that is reset leaves no garbage, whether the function or the
        connection itself finds that out.
        """
        gc.disable()
        self.addCleanup(gc.enable)
        for times in (0, 3):
            transport, peer = self.connect()
            gone = weakref.ref(transport)
            for _ in range(times):
                peer.send(b"hello")
                self.reactor.doIteration(0)
            self.assertEqual(transport.fileno() in self.reactor._usual, times > 0)
            peer.send(b"hello")
            peer.close()
            del transport
            for _ in range(3):
                self.reactor.doIteration(0)
            self.assertIsNone(gone())

    def test_abort(self) -> None:
        """
        What comes after a reset is neither read nor counted.
        """
        self.transport.abortConnection()
        self.assertEqual(self.echoed(b"late"), b"")
        self.assertEqual(self.counters.settle().receivedBytes, 15)


class PlainUsualTests(InPython, UsualTests):
    """
    The same in Python.
    """
