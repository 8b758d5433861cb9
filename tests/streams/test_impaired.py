"""
Streams that misbehave on purpose, on transports in memory, under a clock that the tests turn.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echotwist.impair.grammar import Impairments
from echotwist.streams.factory import DRAIN_QUIET
from echotwist.streams.impaired import HELD, ImpairedFactory
from echotwist.streams.wrappers import halfCloseTarget, innermostProtocol

#: Seconds of ``--stall-timeout``.
PATIENCE = 100.0


class Transport(StringTransport):
    """
    A connection in memory that can be reset.

    :ivar pieces: what was written, as it was.
    """

    bufferSize = 65_536
    producer: Any
    aborted = False

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        """
        Remember a piece.
        """
        self.pieces.append(data)
        super().write(data)

    def abortConnection(self) -> None:
        """
        Reset it.
        """
        self.aborted = True


class ImpairedStreamTests(SynchronousTestCase):
    """
    Tests for :class:`ImpairedStream`.
    """

    def connected(self, text: str, **words: Any) -> tuple[Any, Transport]:
        """
        Make a connection to an echo that misbehaves.
        """
        self.clock = Clock()
        impairments = Impairments.of([text])
        words = {"stallTimeout": PATIENCE, **words}
        self.factory = ImpairedFactory(impairments, reactor=self.clock, **words)
        self.counts = self.factory.counters.impaired
        stream, transport = self.factory.buildProtocol(None), Transport()
        stream.makeConnection(transport)
        return stream, transport

    def tearDown(self) -> None:
        """
        Check that nothing is left to do for connections that are gone.
        """
        for echo in list(self.factory._open):
            echo.transport.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wrapper(self) -> None:
        """
        It is a wrapper like those of endpoints, and hears itself of a half-close.
        """
        stream, _ = self.connected("delay=1s")
        self.assertIsInstance(stream, ProtocolWrapper)
        self.assertIs(innermostProtocol(stream), stream._echo)
        self.assertIs(halfCloseTarget(stream), stream)

    def test_delay(self) -> None:
        """
        Bytes leave after the delay, those of a client that has half-closed too; the
        end comes last.
        """
        stream, transport = self.connected("delay=1s")
        stream.dataReceived(b"one")
        self.clock.advance(0.6)
        stream.dataReceived(b"two")
        stream.readConnectionLost()
        self.clock.advance(0.5)
        self.assertEqual((transport.value(), transport.disconnecting), (b"one", False))
        self.clock.advance(0.5)
        self.assertEqual((transport.value(), transport.disconnecting), (b"onetwo", True))
        self.assertEqual(self.counts["bytes", "delayed"], 6)

    def test_backPressure(self) -> None:
        """
        Of a client no more is read while so many bytes are held back, or while it takes none.
        """
        stream, transport = self.connected("delay=1s")
        stream.dataReceived(bytes(HELD - 1))
        self.assertEqual(transport.producerState, "producing")
        stream.dataReceived(b"x")
        self.assertEqual(transport.producerState, "paused")
        self.clock.advance(1)
        self.assertEqual(transport.producerState, "producing")
        transport.producer.pauseProducing()
        self.assertEqual(transport.producerState, "paused")
        transport.producer.resumeProducing()
        self.assertEqual(transport.producerState, "producing")

    def test_pieces(self) -> None:
        """
        Pieces leave one by one, never two in a turn of the reactor: the kernel has each
        by itself.
        """
        stream, transport = self.connected("chunk=2")
        stream.dataReceived(b"abcde")
        self.assertEqual(transport.pieces, [b"ab"])
        self.clock.advance(0)
        self.assertEqual(transport.pieces, [b"ab", b"cd", b"e"])

    def test_reset(self) -> None:
        """
        A reset comes when all that was to be given back has left.
        """
        stream, transport = self.connected("reset=after:5,delay=1s")
        stream.dataReceived(b"hello, world")
        self.assertEqual(transport.producerState, "paused")
        self.assertFalse(transport.aborted)
        self.clock.advance(1)
        self.assertEqual((transport.value(), transport.aborted), (b"hello", True))
        self.assertEqual(self.counts["connections", "reset"], 1)
        self.assertEqual(self.factory.counters.receivedBytes, 5)
        self.assertEqual(self.factory.counters.sentBytes, 5)
        stream.connectionLost(Failure(ConnectionAborted()))

    def test_stall(self) -> None:
        """
        A service that stalls reads and answers no more; after ``--stall-timeout`` the
        connection is reset.
        """
        stream, transport = self.connected("stall=after:5")
        stream.dataReceived(b"hello, world")
        stream.dataReceived(b"more")
        self.clock.pump([PATIENCE / 2, PATIENCE / 2 - 1])
        self.assertEqual((transport.value(), transport.producerState), (b"hello", "paused"))
        self.assertFalse(transport.aborted or transport.disconnecting)
        transport.producer.resumeProducing()
        self.assertEqual(transport.producerState, "paused")
        self.clock.advance(2)
        self.assertTrue(transport.aborted)
        self.assertEqual(self.counts["connections", "stalled"], 1)

    def test_forEver(self) -> None:
        """
        Without that it is kept.
        """
        stream, transport = self.connected("stall=after:0", stallTimeout=0)
        stream.dataReceived(b"x")
        self.clock.advance(10**6)
        self.assertEqual((transport.value(), transport.aborted), (b"", False))

    def test_early(self) -> None:
        """
        A service that closes early gives back a byte, and then an end as if that were all.
        """
        stream, transport = self.connected("close=early")
        stream.dataReceived(b"hello")
        self.assertEqual((transport.value(), transport.disconnecting), (b"h", True))
        self.assertEqual(self.counts["connections", "closed"], 1)

    def test_ignored(self) -> None:
        """
        When a half-close is ignored, all comes back and no end, until ``--stall-timeout``;
        nothing is read any more.
        """
        stream, transport = self.connected("halfclose=ignore,delay=1s")
        stream.dataReceived(b"hello")
        stream.readConnectionLost()
        self.clock.advance(2)
        self.assertEqual((transport.value(), transport.disconnecting), (b"hello", False))
        self.assertEqual(self.counts["connections", "half-close ignored"], 1)
        transport.producer.resumeProducing()
        self.assertEqual(transport.producerState, "paused")
        self.clock.advance(PATIENCE)
        self.assertTrue(transport.aborted)

    def test_drain(self) -> None:
        """
        A drain waits for bytes that are held back, up to its end, and their client may
        still send more; so it is with the limit on what is idle.
        """
        stream, transport = self.connected("delay=5s", idleTimeout=1)
        stream.dataReceived(b"hello")
        drained = self.factory.drain(10)
        self.clock.pump([DRAIN_QUIET / 4] * 16)
        self.assertEqual((transport.producerState, transport.disconnecting), ("producing", False))
        self.clock.pump([0.5] * 10)
        self.assertEqual((transport.value(), transport.disconnecting), (b"hello", True))
        stream.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(drained)

    def test_drainEnds(self) -> None:
        """
        What would leave after the end of a drain is cut by a reset, not by an end.
        """
        stream, transport = self.connected("delay=50s")
        stream.dataReceived(b"hello")
        drained = self.factory.drain(10)
        self.clock.pump([1] * 12)
        self.assertEqual((transport.value(), transport.disconnecting), (b"", False))
        self.assertTrue(transport.aborted)
        stream.connectionLost(Failure(ConnectionAborted()))
        self.successResultOf(drained)

    def test_prefix(self) -> None:
        """
        Prefixes are held back and cut like all else; what comes in is what counts for
        an end.
        """
        stream, transport = self.connected("chunk=3,close=after:4", prefix=b"> ")
        stream.dataReceived(b"a\nbcd")
        self.clock.pump([0] * 5)
        self.assertEqual(transport.pieces, [b"> a", b"\n> ", b"bc"])
        self.assertTrue(transport.disconnecting)

    def test_taken(self) -> None:
        """
        Bytes that are held back are none that the peer leaves waiting; whether it takes
        those that have left is watched.
        """
        stream, _ = self.connected("delay=5s")
        stream.dataReceived(b"hello")
        self.assertEqual((stream.held, stream.sent), (5, 0))
        self.clock.pump([1] * 4)
        self.assertFalse(stream._echo.watched)
        self.clock.advance(1)
        self.assertEqual((stream.held, stream.sent), (0, 5))
        self.assertTrue(stream._echo.watched)
