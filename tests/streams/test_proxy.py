"""
The header of a proxy, on transports in memory.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from hypothesis import given, strategies
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echotwist.echo import Echo
from echotwist.sockets.access import Access
from echotwist.streams.factory import DRAIN_QUIET, EchoFactory
from echotwist.streams.handshakes import HANDSHAKE_TIMEOUT
from echotwist.streams.limits import Limits
from echotwist.streams.proxy import ProxyFactory, split

PREFIX = b"\r\n\r\n\0\r\nQUIT\n"


def second(command: int, family: int, rest: bytes) -> bytes:
    """
    Write a header of version 2.
    """
    return PREFIX + struct.pack("!BBH", 0x20 | command, family, len(rest)) + rest


FOUR = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 4567, 7)
SIX = b"".join(socket.inet_pton(socket.AF_INET6, f"2001:db8::{n}") for n in (7, 1))

#: Headers, and the peer that each names; nothing is the proxy itself.
HEADERS: list[tuple[bytes, Any]] = [
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 4567 7\r\n", IPv4Address("TCP", "192.0.2.7", 4567)),
    (b"PROXY TCP6 2001:db8::7 ::1 4567 7\r\n", IPv6Address("TCP", "2001:db8::7", 4567)),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4567 7\r\n", IPv4Address("TCP", "192.0.2.7", 4567)),
    (b"PROXY TCP6 fe80::7 ::1 65535 0\r\n", IPv6Address("TCP", "fe80::7", 65535)),
    (b"PROXY UNKNOWN\r\n", None),
    (second(1, 0x31, b"/client".ljust(108, b"\0") + b"/server".ljust(108, b"\0")), None),
    (b"PROXY UNKNOWN ffff::1 ::2 1 2\r\n", None),
    (second(1, 0x11, FOUR), IPv4Address("TCP", "192.0.2.7", 4567)),
    (second(1, 0x11, FOUR + b"\3\0\4abcd"), IPv4Address("TCP", "192.0.2.7", 4567)),
    (
        second(1, 0x21, SIX + struct.pack("!HH", 4567, 7)),
        IPv6Address("TCP", "2001:db8::7", 4567),
    ),
    (second(0, 0, b""), None),
    (second(0, 0x11, FOUR), None),
    (second(1, 0, b"abc"), None),
]

#: What is no header, or one that means nothing.
WRONG = [
    b"GET / HTTP/1.1\r\n",
    b"PROXY TCP4 192.0.2.7\r\n",
    b"PROXY TCP4 spoofed\n 192.0.2.1 4567 7\r\n",
    b"PROXY TCP4 \xff 192.0.2.1 4567 7\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 port 7\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 -5 7\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 7\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4567 65536\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 04567 7\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 +4567 7\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4_567 7\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4567 7 7\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1  4567 7\r\n",
    b"PROXY TCP4 192.0.2.7 nowhere 4567 7\r\n",
    b"PROXY TCP4 ::1 ::2 4567 7\r\n",
    b"PROXY TCP6 192.0.2.7 192.0.2.1 4567 7\r\n",
    b"PROXY TCP6 fe80::7%eth0 ::1 4567 7\r\n",
    b"PROXY TCP6 fe80::7%\n\x1bspoofed ::1 4567 7\r\n",
    b"PROXY TCP5 192.0.2.7 192.0.2.1 4567 7\r\n",
    b"PROXY " + b"x" * 200,
    b"PROXYTCP4",
    second(1, 0x11, b"short"),
    second(1, 0x77, FOUR),
    second(7, 0x11, FOUR),
    PREFIX + b"\x31\x11\0\0",
    b"\n",
]


class Transport(StringTransport):
    """
    A connection in memory that can be handed over.
    """

    peer: Any = None
    aborted = False
    bufferSize = 0

    def getPeer(self) -> Any:
        """
        Return the client that the proxy speaks for, or the proxy.
        """
        return self.peer or super().getPeer()

    def setProtocol(self, protocol: Any) -> None:
        """
        Have another protocol go on.
        """
        self.protocol = protocol

    def abortConnection(self) -> None:
        """
        Reset it.
        """
        self.aborted = True
        self.protocol.connectionLost(Failure(ConnectionDone()))


class ProxyTests(SynchronousTestCase):
    """
    Tests for :class:`ProxyHeader`.
    """

    def setUp(self) -> None:
        """
        Make the factory of the echoes.
        """
        self.clock = Clock()
        self.limits = Limits(most=3, mostPerPeer=2)
        self.echoes = EchoFactory(limits=self.limits, reactor=self.clock)

    def connect(self) -> Transport:
        """
        Have a proxy connect.
        """
        transport = Transport(peerAddress=IPv4Address("TCP", "198.51.100.1", 1))
        protocol: Any = ProxyFactory(self.echoes, self.echoes).buildProtocol(None)
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport

    def say(self, transport: Transport, *segments: bytes) -> None:
        """
        Have the proxy speak.
        """
        for segment in segments:
            transport.protocol.dataReceived(segment)

    def test_headers(self) -> None:
        """
        The echo sees the peer that the header names, and none of the header.
        """
        for header, peer in HEADERS:
            transport = self.connect()
            self.say(transport, header + b"hello")
            self.assertEqual(transport.value(), b"hello")
            self.assertEqual(transport.peer, peer)
            self.assertIsInstance(transport.protocol, self.echoes.buildProtocol(None).__class__)
            transport.protocol.connectionLost(Failure(ConnectionDone()))

    @given(strategies.sampled_from(HEADERS), strategies.data())
    def test_pieces(self, known: tuple[bytes, Any], data: Any) -> None:
        """
        However the header is cut, the result is the same.
        """
        said = known[0] + b"hello"
        cuts = sorted(data.draw(strategies.sets(strategies.integers(1, len(said) - 1))))
        transport = self.connect()
        for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
            self.say(transport, said[start:end])
        self.assertEqual((transport.value(), transport.peer), (b"hello", known[1]))
        transport.protocol.connectionLost(Failure(ConnectionDone()))

    def test_access(self) -> None:
        """
        The client that the header names decides whether the connection is served; the
        proxy's own address only if the header names none.
        """
        for peer in ("192.0.2.7", "2001:db8::7", "fe80::7", "198.51.100.1"):
            limits = Limits(most=1, access=Access([peer]))
            self.echoes = EchoFactory(limits=limits, reactor=self.clock)
            for header, named in HEADERS:
                transport = self.connect()
                self.say(transport, header + b"hello")
                isServed = getattr(named, "host", "198.51.100.1") == peer
                self.assertEqual(transport.value(), b"hello" if isServed else b"")
                self.assertEqual(transport.aborted, not isServed)
                if isServed:
                    transport.protocol.connectionLost(Failure(ConnectionDone()))
            self.assertEqual(set(self.echoes.counters.refused), {"not allowed"})

    def test_prefix(self) -> None:
        """
        What comes with the header grows by the prefixes no more than what follows.
        """
        self.echoes = EchoFactory(b"x" * 99, limits=self.limits, reactor=self.clock)
        transport = self.connect()
        self.assertEqual(transport.bufferSize, 655)

    def test_broken(self) -> None:
        """
        If a plugin's protocol raises anything, the connection ends, and is no longer
        waited for.
        """

        class Broken(Echo):
            def connectionMade(self) -> None:
                raise RuntimeError

        builders: list[Any] = [lambda _: 1 / 0, lambda _: Broken()]
        for build in builders:
            transport = self.connect()
            transport.protocol._next = Factory()
            transport.protocol._next.buildProtocol = build
            self.say(transport, HEADERS[0][0])
            self.assertTrue(transport.aborted)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError, RuntimeError)), 1)
        self.successResultOf(self.echoes.drain(10))

    def test_wrong(self) -> None:
        """
        A connection that begins with something else is reset, and counted.
        """
        for number, said in enumerate(WRONG, 1):
            transport = self.connect()
            self.say(transport, said)
            self.assertTrue(transport.aborted, said)
            self.assertEqual(self.echoes.counters.refused["no PROXY header"], number)

    @given(strategies.binary(max_size=300))
    def test_garbage(self, said: bytes) -> None:
        """
        No bytes before or in a header raise an error.
        """
        transport = self.connect()
        self.say(transport, said)
        if not transport.aborted:
            transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.limits._all, 0)

    def test_silent(self) -> None:
        """
        A silent connection is reset in time; one that is served is not.
        """
        silent, served = self.connect(), self.connect()
        self.say(served, HEADERS[0][0])
        self.clock.pump([0.5] * int(2.5 * HANDSHAKE_TIMEOUT))
        self.assertTrue(silent.aborted)
        self.assertFalse(served.aborted)
        self.assertEqual(self.echoes.counters.refused["unfinished PROXY header"], 1)

    def test_limits(self) -> None:
        """
        A connection without its header yet counts too, but for no peer.
        """
        for _ in range(3):
            self.connect()
        self.assertFalse(self.echoes.admits(None))
        self.assertIsNone(ProxyFactory(self.echoes, self.echoes).buildProtocol(None))

    def test_perPeer(self) -> None:
        """
        The limit for a peer applies to the client that the header names.
        """
        for served in (True, True, False):
            transport = self.connect()
            self.say(transport, HEADERS[0][0] + b"x")
            self.assertEqual(transport.value(), b"x" * served)
            self.assertEqual(transport.aborted, not served)
        other = self.connect()
        self.say(other, HEADERS[1][0] + b"x")
        self.assertEqual(other.value(), b"x")

    def test_gone(self) -> None:
        """
        A connection that ends before the header is whole leaves nothing behind.
        """
        self.connect().protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.limits._all, self.echoes._handshakes._open), (0, {}))
        self.assertEqual(self.echoes.counters.refused, {})

    def test_drain(self) -> None:
        """
        When the service stops, it waits a moment for the header, and no longer.
        """
        late, never = self.connect(), self.connect()
        drained = self.echoes.drain(10)
        self.say(late, HEADERS[0][0] + b"x")
        self.clock.advance(DRAIN_QUIET)
        self.assertTrue(never.aborted)
        self.assertFalse(late.aborted)
        self.assertNoResult(drained)
        late.protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(drained)

    def test_size(self) -> None:
        """
        A header of version 2 is as long as it says.
        """
        header = second(1, 0x11, FOUR + bytes(1000))
        self.assertIsNone(split(header[:-1]))
        self.assertEqual(split(header + b"x"), (header, b"x"))
