"""
TLS with half-close, on transports in memory.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echotwist.streams.factory import EchoFactory
from echotwist.streams.handshakes import HANDSHAKE_TIMEOUT
from echotwist.streams.progress import written
from echotwist.streams.tls import EchoTLS, mend, overTLS
from echotwist.streams.wrappers import halfCloseTarget, innermostProtocol, lowestTransport

_key = ec.generate_private_key(ec.SECP256R1())
_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
_now = datetime.now(timezone.utc)
_certificate = (
    x509.CertificateBuilder()
    .subject_name(_name)
    .issuer_name(_name)
    .public_key(_key.public_key())
    .serial_number(1)
    .not_valid_before(_now)
    .not_valid_after(_now + timedelta(days=1))
    .sign(_key, SHA256())
)


@implementer(IOpenSSLServerConnectionCreator)
class Options:
    """
    A certificate and its key.
    """

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """
        Make the TLS of one connection.
        """
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_privatekey(_key)
        context.use_certificate(_certificate)
        return SSL.Connection(context)


class Transport(StringTransport):
    """
    A connection in memory that can be reset.
    """

    protocol: Any
    bufferSize = 65_536
    aborted = False

    def abortConnection(self) -> None:
        """
        Reset it.
        """
        self.aborted = True
        self.protocol.connectionLost(Failure(ConnectionAborted()))


class Client:
    """
    A TLS client that can send ``close_notify`` and read on.

    :param version: the highest that it speaks.
    """

    def __init__(self, version: int) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(version)
        self.tls = SSL.Connection(context)
        self.tls.set_connect_state()
        self.got = b""
        self.ended = False

    def out(self) -> bytes:
        """
        Return what goes to the server.
        """
        said = b""
        try:
            while True:
                said += self.tls.bio_read(2**16)
        except SSL.WantReadError:
            return said

    def take(self, data: bytes) -> None:
        """
        Take what comes from the server.
        """
        if data:
            self.tls.bio_write(data)
        try:
            while True:
                self.got += self.tls.recv(2**16)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.ended = True


class TLSTests(SynchronousTestCase):
    """
    Tests for :class:`EchoTLS`, with TLS 1.3.
    """

    version = SSL.TLS1_3_VERSION

    def setUp(self) -> None:
        """
        Connect.
        """
        self.clock = Clock()
        self.echoes = EchoFactory(reactor=self.clock)
        self.transport = Transport()
        self.protocol: Any = overTLS(Options(), self.echoes, self.clock).buildProtocol(None)
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)
        self.client = Client(self.version)

    def exchange(self) -> None:
        """
        Carry bytes until nobody has any.
        """
        while True:
            said, answered = self.client.out(), self.transport.value()
            self.transport.clear()
            if not (said or answered):
                return
            if said:
                self.protocol.dataReceived(said)
            self.client.take(answered)

    def handshake(self) -> None:
        """
        Get to know each other.
        """
        self.client.take(b"")
        self.exchange()

    def test_halfClose(self) -> None:
        """
        All that was sent before ``close_notify`` comes back, and then a
        ``close_notify``.
        """
        for size in (0, 1, 16_384, 100_000):
            self.setUp()
            self.handshake()
            if size:
                self.client.tls.sendall(b"x" * size)
            self.client.tls.shutdown()
            self.exchange()
            self.assertEqual((len(self.client.got), self.client.ended), (size, True))
            self.assertTrue(self.transport.disconnecting)
            self.assertIsNone(self.transport.producer)

    def test_stock(self) -> None:
        """
        Stock Twisted drops some of it.
        """
        self.transport = Transport()
        factory: Any = TLSMemoryBIOFactory(Options(), False, self.echoes, self.clock)
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self.handshake()
        self.client.tls.sendall(b"x" * 100_000)
        self.client.tls.shutdown()
        self.exchange()
        self.assertLess(len(self.client.got), 100_000)

    def test_end(self) -> None:
        """
        FIN without ``close_notify`` ends the stream as well, with nothing lost.
        """
        self.handshake()
        self.client.tls.sendall(b"hello")
        self.exchange()
        self.protocol.readConnectionLost()
        self.exchange()
        self.assertEqual((self.client.got, self.client.ended), (b"hello", True))
        self.assertTrue(self.transport.disconnecting)

    def test_ours(self) -> None:
        """
        When the echo ends a connection, it does not wait for the peer's
        ``close_notify``.
        """
        self.handshake()
        innermostProtocol(self.protocol).finish()
        self.assertTrue(self.transport.disconnecting)
        self.exchange()
        self.assertTrue(self.client.ended)

    def test_unfinished(self) -> None:
        """
        A peer that does not finish the handshake is reset in time; one that has is
        kept.
        """
        self.client.take(b"")
        self.protocol.dataReceived(self.client.out()[:10])
        self.clock.pump([0.5] * int(2.5 * HANDSHAKE_TIMEOUT))
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.echoes.counters.refused, {"unfinished TLS handshake": 1})
        self.setUp()
        self.handshake()
        self.clock.pump([0.5] * int(2.5 * HANDSHAKE_TIMEOUT))
        self.assertFalse(self.transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noContext(self) -> None:
        """
        If a plugin's certificates are gone, the connection ends without another error.
        """
        self.patch(Options, "serverConnectionForTLS", lambda *_: 1 / 0)
        protocol: Any = overTLS(Options(), self.echoes, self.clock).buildProtocol(None)
        self.assertRaises(ZeroDivisionError, protocol.makeConnection, self.transport)
        protocol.connectionLost(Failure(ConnectionAborted()))
        self.assertNotIn(protocol, self.echoes._handshakes._open)

    def test_garbage(self) -> None:
        """
        A connection that does not begin with TLS is ended, and counted.
        """
        self.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.echoes.counters.refused["failed TLS handshake"], 1)
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.echoes.counters.active, 0)

    def test_longChain(self) -> None:
        """
        All that TLS has to send is sent, however much it is.
        """
        self.handshake()
        self.protocol._tlsConnection.send(b"x" * 16_000)
        self.protocol._tlsConnection.send(b"x" * 16_000)
        self.protocol._tlsConnection.send(b"x" * 16_000)
        innermostProtocol(self.protocol).watched = False
        self.protocol._flushSendBIO()
        self.exchange()
        self.assertEqual(len(self.client.got), 48_000)
        # Whether the peer takes it is watched, though the echo knows nothing of it.
        self.assertTrue(innermostProtocol(self.protocol).watched)

    def test_sent(self) -> None:
        """
        What went out is counted as it is on the wire, where it is taken.
        """
        self.handshake()
        before = self.protocol.sent
        self.client.tls.sendall(b"x" * 100_000)
        self.protocol.dataReceived(self.client.out())
        self.assertEqual(self.protocol.sent - before, len(self.transport.value()))
        self.assertGreater(self.protocol.sent - before, 100_000)
        self.assertEqual(written(innermostProtocol(self.protocol)), self.protocol.sent)

    def test_abort(self) -> None:
        """
        A reset never looks like an end: no ``close_notify`` goes before it.
        """
        self.handshake()
        said: list[bytes] = []
        self.patch(self.transport, "abortConnection", lambda: said.append(self.transport.value()))
        self.protocol.abortConnection()
        self.assertEqual(said, [b""])

    def test_gone(self) -> None:
        """
        A peer that goes, at any time, leaves nothing behind.
        """
        for known in (False, True):
            self.setUp()
            if known:
                self.handshake()
            self.protocol.connectionLost(Failure(ConnectionDone()))
            self.assertEqual((self.echoes._handshakes._open, self.echoes.counters.active), ({}, 0))

    def test_broken(self) -> None:
        """
        What breaks TLS ends the connection, also while its peer takes nothing.
        """
        self.handshake()
        self.client.tls.sendall(b"hello")
        said = self.client.out()
        assert self.transport.producer is not None
        self.transport.producer.pauseProducing()
        self.protocol.dataReceived(said + b"\x17\x03\x03\0\x20" + bytes(32))
        self.transport.producer.resumeProducing()
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)

    def test_paused(self) -> None:
        """
        What has come goes to the echo piece by piece, and waits with the peer.
        """
        self.handshake()
        self.client.tls.sendall(b"x" * 10_000)
        self.transport.bufferSize = 1000
        producer: Any = self.transport.producer
        producer.pauseProducing()
        self.protocol.dataReceived(self.client.out())
        self.assertEqual(innermostProtocol(self.protocol).received, 0)
        echo = innermostProtocol(self.protocol)
        dataReceived, sizes = echo.dataReceived, []

        def received(data: bytes) -> None:
            sizes.append(len(data))
            dataReceived(data)
            if len(sizes) == 3:
                producer.pauseProducing()

        echo.dataReceived = received
        producer.resumeProducing()
        self.assertEqual((sizes, self.transport.producerState), ([1000] * 3, "paused"))
        producer.resumeProducing()
        self.assertEqual((sum(sizes), self.transport.producerState), (10_000, "producing"))

    def test_pressure(self) -> None:
        """
        The connection is told to wait when its buffer is full.
        """
        self.handshake()
        assert self.transport.producer is not None
        self.transport.producer.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.transport.producer.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")


class OlderTLSTests(TLSTests):
    """
    The same with TLS 1.2.
    """

    version = SSL.TLS1_2_VERSION


class LayerTests(SynchronousTestCase):
    """
    Tests for what may be around an echo.
    """

    def test_mend(self) -> None:
        """
        TLS that a plugin has put around the echo becomes ours, wherever it is.
        """
        echoes = EchoFactory(reactor=Clock())
        theirs = TLSMemoryBIOFactory(Options(), False, WrappingFactory(echoes), Clock())
        outer: WrappingFactory[Any] = WrappingFactory(theirs)
        self.assertTrue(mend(outer))
        self.assertIs(theirs.protocol, EchoTLS)
        self.assertFalse(mend(WrappingFactory(echoes)))
        self.assertFalse(mend(echoes))

    def test_layers(self) -> None:
        """
        The echo inside, the connection below, and the protocol that must hear of
        half-closes are found.
        """
        echoes = EchoFactory(reactor=Clock())
        wrapped: Any = WrappingFactory(WrappingFactory(echoes)).buildProtocol(None)
        transport = StringTransport()
        wrapped.makeConnection(transport)
        echo = innermostProtocol(wrapped)
        self.assertNotIsInstance(echo, ProtocolWrapper)
        self.assertIs(lowestTransport(echo.transport), transport)
        self.assertIs(halfCloseTarget(wrapped), echo)
        self.assertTrue(IHalfCloseableProtocol.providedBy(echo))
        self.assertIsNone(halfCloseTarget(Protocol()))
