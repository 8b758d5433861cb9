"""
Echo of datagrams, without a reactor.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.testing import FakeDatagramTransport, MemoryReactorClock
from twisted.internet.udp import Port as StockPort
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echotwist import DatagramEcho
from echotwist.datagrams.guard import Guard
from echotwist.datagrams.port import DatagramPort
from echotwist.sockets.addresses import Address
from echotwist.sockets.opening import openDatagram
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.log import RateLimitedLog

PEER = ("192.0.2.1", 4567)


class DatagramEchoTests(SynchronousTestCase):
    """
    Tests for :class:`DatagramEcho`.
    """

    def handled(self, echo: DatagramEcho, datagram: bytes) -> list[Any]:
        """
        Return what was written when a datagram came.
        """
        transport = FakeDatagramTransport()
        echo.makeConnection(transport)
        echo.datagramReceived(datagram, PEER)
        return transport.written

    def test_echo(self) -> None:
        """
        A datagram goes back to where it came from.
        """
        self.assertEqual(self.handled(DatagramEcho(), b"hello"), [(b"hello", PEER)])

    def test_empty(self) -> None:
        """
        So does an empty one.
        """
        self.assertEqual(self.handled(DatagramEcho(), b""), [(b"", PEER)])

    def test_prefix(self) -> None:
        """
        The prefix comes once, before the datagram, however many lines it has.
        """
        self.assertEqual(self.handled(DatagramEcho(b"> "), b"a\nb"), [(b"> a\nb", PEER)])

    def test_verbose(self) -> None:
        """
        With ``verbose`` it logs peer, size and start of each datagram, escaped.
        """
        with capturedLogs() as events:
            self.handled(DatagramEcho(verbose=True), b"\x1b[31mred\n" + b"x" * 100)
        self.assertEqual(
            [formatEvent(event) for event in events],
            [f"UDP 192.0.2.1:4567 109 bytes: '\\x1b[31mred\\n{'x' * 23}'..."],
        )


class Ignoring(DatagramEcho):
    """
    Counts datagrams.
    """

    count = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        Count one.
        """
        self.count += 1


class DatagramPortTests(SynchronousTestCase):
    """
    Tests for :class:`DatagramPort`, on a real socket.
    """

    def listening(self, port: Any) -> Any:
        """
        Start a port and stop it at the end.
        """
        port.startListening()
        self.addCleanup(self.reactor.advance, 0)
        self.addCleanup(port.stopListening)
        return port

    def setUp(self) -> None:
        """
        Listen.
        """
        self.reactor = MemoryReactorClock()
        self.protocol = Ignoring()
        self.limitedLog = RateLimitedLog(Counters("UDP"))
        listener = openDatagram(Address(socket.AF_INET, "127.0.0.1"), 0, reuse=False)
        self.port = self.listening(
            DatagramPort(listener, self.protocol, Guard(), self.limitedLog, self.reactor)
        )
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.client.close)

    def handledInOneGo(self, port: Any) -> int:
        """
        Send many datagrams, and count those that one wake-up handles.
        """
        for _ in range(2 * DatagramPort.atOnce):
            self.client.sendto(b"x", ("127.0.0.1", port.getHost().port))
        port.doRead()
        return int(port.protocol.count)

    def test_fairness(self) -> None:
        """
        One wake-up handles so many datagrams and no more; stock Twisted goes on.
        """
        self.assertEqual(self.handledInOneGo(self.port), DatagramPort.atOnce)
        stock = StockPort(0, Ignoring(), "127.0.0.1", reactor=self.reactor)
        self.assertEqual(self.handledInOneGo(self.listening(stock)), 2 * DatagramPort.atOnce)

    def test_unsendable(self) -> None:
        """
        A datagram that cannot be sent is counted, and that is all.
        """
        self.port.write(b"x" * 70_000, ("127.0.0.1", 9))
        self.assertEqual(self.limitedLog.counters.errors["send", "EMSGSIZE"], 1)
