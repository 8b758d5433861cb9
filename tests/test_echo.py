"""
Echo of streams, on transports in memory.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from hypothesis import given, strategies
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.wire import Echo as StockEcho
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from echotwist import Echo, EchoFactory
from echotwist.streams.counted import IEchoOwner
from echotwist.streams.port import StreamPort
from echotwist.streams.prefixed import CHUNK
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.log import RateLimitedLog


class EchoTests(SynchronousTestCase):
    """
    Tests for :class:`Echo`.
    """

    def setUp(self) -> None:
        """
        Connect an echo.
        """
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", 4567))
        self.echo = Echo()
        self.echo.makeConnection(self.transport)

    def test_interface(self) -> None:
        """
        It hears of half-closes, as stock Twisted's does not.
        """
        self.assertTrue(verifyObject(IHalfCloseableProtocol, self.echo))
        self.assertFalse(IHalfCloseableProtocol.providedBy(StockEcho()))

    @given(strategies.lists(strategies.binary()))
    def test_echo(self, segments: list[bytes]) -> None:
        """
        Each byte comes back at once, unaltered and in order.
        """
        self.transport.clear()
        sent = b""
        for segment in segments:
            sent += segment
            self.echo.dataReceived(segment)
            self.assertEqual(self.transport.value(), sent)

    def test_producer(self) -> None:
        """
        The transport is its own push producer: reading waits for writing.
        """
        self.assertIs(self.transport.producer, self.transport)
        self.assertTrue(self.transport.streaming)

    def test_halfClose(self) -> None:
        """
        After the peer's last byte the connection is closed, and no producer
        keeps it from closing.
        """
        self.echo.dataReceived(b"last")
        self.echo.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)
        self.assertEqual(self.transport.value(), b"last")

    def test_anyFactory(self) -> None:
        """
        It needs no factory of ours.
        """
        echo = Factory.forProtocol(Echo).buildProtocol(None)
        assert echo is not None
        transport = StringTransport()
        echo.makeConnection(transport)
        echo.dataReceived(b"hello")
        echo.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(transport.value(), b"hello")


class EchoFactoryTests(SynchronousTestCase):
    """
    Tests for :class:`EchoFactory`.
    """

    peer = IPv4Address("TCP", "192.0.2.1", 4567)

    def connect(self, factory: EchoFactory) -> tuple[Echo, StringTransport]:
        """
        Connect an echo of a factory's.
        """
        echo = factory.buildProtocol(self.peer)
        assert echo is not None
        transport = StringTransport(peerAddress=self.peer)
        echo.makeConnection(transport)
        return echo, transport

    def test_interface(self) -> None:
        """
        It is a factory as any other, and owns the echoes that it makes.
        """
        self.assertTrue(verifyObject(IProtocolFactory, EchoFactory()))
        self.assertTrue(verifyObject(IEchoOwner, EchoFactory()))

    def test_prefix(self) -> None:
        """
        Each connection has the prefix, at the start and before each line.
        """
        factory = EchoFactory(b"You said : ")
        for _ in range(2):
            echo, transport = self.connect(factory)
            echo.dataReceived(b"cou")
            echo.dataReceived(b"cou\r\nencore")
            self.assertEqual(transport.value(), b"You said : coucou\r\nYou said : encore")

    def test_prefixKeepsPiecesSmall(self) -> None:
        """
        With a prefix less is read at once, as newlines alone would grow it.
        """
        transport: Any = self.connect(EchoFactory(b"x" * 15))[1]
        self.assertEqual(transport.bufferSize, CHUNK // 16)

    def ended(self, factory: EchoFactory) -> list[str]:
        """
        Run one connection, and give the lines that it logged.
        """
        echo, _ = self.connect(factory)
        echo.dataReceived(b"hello")
        clock.advance(1.5)
        with capturedLogs() as events:
            echo.connectionLost(Failure(ConnectionDone()))
        return [formatEvent(event) for event in events]

    def test_verbose(self) -> None:
        """
        With ``verbose`` it logs peer, bytes, seconds and end of each connection.
        """
        factory = EchoFactory(verbose=True, reactor=clock)
        self.assertEqual(self.ended(factory), ["TCP 192.0.2.1:4567 closed: 5 bytes in 1.5 s"])

    def test_quiet(self) -> None:
        """
        Without it, it logs nothing.
        """
        self.assertEqual(self.ended(EchoFactory(reactor=clock)), [])


clock = Clock()


class BrokenSocket(socket.socket):
    """
    A listening socket on which ``accept`` fails with the errors given.
    """

    errors: list[int] = []

    def _accept(self) -> Any:
        """
        Fail while there are errors left.
        """
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return super()._accept()  # type: ignore[misc]


class StreamPortTests(SynchronousTestCase):
    """
    Tests for :class:`StreamPort`, on a real socket and without a reactor.
    """

    def setUp(self) -> None:
        """
        Listen.
        """
        self.listener = BrokenSocket()
        self.listener.setblocking(False)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.reactor = MemoryReactorClock()
        self.limitedLog = RateLimitedLog(Counters("TCP"))
        self.port = StreamPort(
            self.listener, EchoFactory(reactor=self.reactor), self.limitedLog, self.reactor
        )
        self.port.startListening()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """
        Close what is open.
        """
        self.listener.errors = []
        self.port.stopListening()
        self.reactor.advance(0)
        for connection in list(self.reactor.getReaders()):
            connection.connectionLost(Failure(ConnectionDone()))

    def connect(self) -> socket.socket:
        """
        Connect to the port.
        """
        client = socket.create_connection(self.listener.getsockname(), timeout=10)
        self.addCleanup(client.close)
        return client

    def served(self) -> int:
        """
        Count the connections.
        """
        return len(self.reactor.getReaders()) - (self.port in self.reactor.getReaders())

    def test_accept(self) -> None:
        """
        All waiting connections are accepted in one go.
        """
        for _ in range(3):
            self.connect()
        self.port.doRead()
        self.assertEqual(self.served(), 3)

    def test_plugin(self) -> None:
        """
        What a plugin may do to a port of Twisted's, which listens at once, it may do
        to this.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        port: Any = StreamPort(listener, self.port.factory, self.limitedLog, self.reactor)
        self.assertEqual(port.getHost().port, listener.getsockname()[1])
        port.startListening()
        port.startListening()
        self.assertEqual(port.getHost().port, listener.getsockname()[1])
        port.stopListening()

    def test_passingErrors(self) -> None:
        """
        Errors of one connection are counted, and the next is accepted.
        """
        for number in (errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EIO):
            self.listener.errors = [number]
            self.connect()
            self.port.doRead()
            self.port.doRead()
        self.assertEqual(self.served(), 4)
        self.assertEqual(sum(self.limitedLog.counters.errors.values()), 4)

    def test_takenAway(self) -> None:
        """
        A socket that another process, which shares it, has made listen again is
        served on; one that never accepts is given up.
        """
        said: list[str] = []
        self.port.giveUp = said.append
        for times, isLost in [(1, False), (100, True)]:
            self.listener.errors = [errno.EINVAL] * times
            client = self.connect()
            for _ in range(times):
                self.port.doRead()
            self.assertEqual(bool(said), isLost)
            self.port.doRead()
            client.close()
        self.assertIn("was taken away: Invalid argument (errno 22)", said[0])

    def test_brokenFactory(self) -> None:
        """
        Whatever a plugin's factory or protocol raises, the next connection is accepted.
        """

        class Broken(Echo):
            def connectionMade(self) -> None:
                raise RuntimeError

        echoes = self.port.factory
        builders: dict[str, Any] = {
            "ZeroDivisionError": lambda _: 1 / 0,
            "RuntimeError": lambda _: Broken(),
        }
        for name, build in builders.items():
            factory: Any = Factory()
            factory.buildProtocol = build
            self.port.factory = factory
            for _ in range(3):
                client = self.connect()
                self.port.doRead()
                self.reactor.advance(0)
                with self.assertRaises(ConnectionResetError):
                    client.recv(1)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError, RuntimeError)), 1)
            self.assertEqual(self.limitedLog.counters.errors["accept", name], 3)
        self.port.factory = echoes
        self.connect()
        self.port.doRead()
        self.assertEqual(self.served(), 1)

    def test_noDescriptor(self) -> None:
        """
        Without a free descriptor the next connection is reset at once.
        """
        client = self.connect()
        self.listener.errors = [errno.EMFILE]
        self.port.doRead()
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        self.assertIn(self.port, self.reactor.getReaders())

    def test_noMemory(self) -> None:
        """
        Without memory accepting rests for a moment instead of failing in a loop.
        """
        self.connect()
        self.listener.errors = [errno.ENOMEM]
        self.port.doRead()
        self.assertNotIn(self.port, self.reactor.getReaders())
        self.reactor.advance(1)
        self.port.doRead()
        self.assertEqual(self.served(), 1)

    def test_noWatch(self) -> None:
        """
        A connection that the reactor cannot watch is turned away.
        """

        def full(reader: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        client = self.connect()
        self.patch(self.reactor, "addReader", full)
        self.port.doRead()
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        self.assertEqual(self.limitedLog.counters.errors["accept", "ENOSPC"], 1)
