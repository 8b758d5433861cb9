"""
Ports of datagrams that misbehave on purpose, on real sockets, under a clock that the
tests turn.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echotwist import DatagramEcho
from echotwist.datagrams.guard import Guard
from echotwist.datagrams.impaired import impaired
from echotwist.datagrams.port import DatagramPort
from echotwist.impair.grammar import Impairments
from echotwist.sockets.access import Access
from echotwist.sockets.addresses import Address
from echotwist.sockets.opening import openDatagram
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.log import RateLimitedLog


class ImpairedPortTests(SynchronousTestCase):
    """
    Tests for the ports that :func:`impaired` makes.
    """

    def listening(self, text: str, access: Access | None = None) -> Any:
        """
        Start a port, with two clients.
        """
        self.reactor = MemoryReactorClock()
        self.counters = Counters("UDP")
        listener = openDatagram(Address(socket.AF_INET, "0.0.0.0"), 0, reuse=False)
        kind = impaired(DatagramPort, Impairments.of([text]))
        limitedLog = RateLimitedLog(self.counters)
        port: Any = kind(listener, DatagramEcho(), Guard(access=access), limitedLog, self.reactor)
        port.startListening()
        self.addCleanup(self.reactor.advance, 0)
        self.addCleanup(port.stopListening)
        self.clients = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)]
        for client, host in zip(self.clients, ["127.0.0.1", "127.0.0.2"], strict=True):
            self.addCleanup(client.close)
            client.connect((host, port.getHost().port))
            client.setblocking(False)
        return port

    def came(self, client: socket.socket) -> list[bytes]:
        """
        Return what has come back by now: on loopback it is there at once.
        """
        found = []
        try:
            while True:
                found.append(client.recv(99))
        except BlockingIOError:
            return found

    def test_delay(self) -> None:
        """
        Delayed replies leave in time, each to its peer, from the address that was asked.
        """
        port = self.listening("delay=5s")
        for number, client in enumerate(self.clients):
            client.send(b"%d" % number)
        port.doRead()
        self.reactor.advance(4.9)
        self.assertEqual([self.came(client) for client in self.clients], [[], []])
        self.reactor.advance(0.2)
        self.assertEqual([self.came(client) for client in self.clients], [[b"0"], [b"1"]])
        self.assertEqual(self.counters.sentDatagrams, 2)
        self.assertEqual(self.counters.impaired["datagrams", "delayed"], 2)

    def test_earlier(self) -> None:
        """
        A datagram that leaves before those that came earlier is not kept waiting for them.
        """
        port = self.listening("jitter=9s,delay=9s,seed=7")
        due = []
        for number in range(20):
            self.clients[0].send(b"%d" % number)
            port.doRead()
            due.append(port._network.next)
        self.assertLess(min(due), due[0])
        self.reactor.advance(min(due))
        self.assertEqual(len(self.came(self.clients[0])), 1)

    def test_guard(self) -> None:
        """
        What is refused is nothing that can be lost; chance takes no notice of it.
        """
        port = self.listening("loss=100%", Access(["192.0.2.0/24"]))
        self.clients[0].send(b"x")
        port.doRead()
        self.assertEqual(self.counters.refused["not allowed"], 1)
        self.assertEqual(self.counters.impaired["datagrams", "lost"], 0)

    def test_drain(self) -> None:
        """
        A port that drains reads no more, sends what is under way, and closes then.
        """
        port = self.listening("delay=5s")
        self.clients[0].send(b"x")
        port.doRead()
        drained = port.drain(10)
        self.assertNotIn(port, self.reactor.getReaders())
        self.reactor.advance(4)
        self.assertNoResult(drained)
        self.reactor.advance(1)
        self.reactor.advance(0)
        self.successResultOf(drained)
        self.assertEqual(self.came(self.clients[0]), [b"x"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_drainEnds(self) -> None:
        """
        What would leave after the end of the drain is dropped, and counted.
        """
        for end in ("drain", "abort"):
            port = self.listening("delay=50s")
            self.clients[0].send(b"x")
            port.doRead()
            drained = port.drain(10)
            if end == "abort":
                port.abortAll()
            else:
                self.reactor.advance(10)
            self.reactor.advance(0)
            self.successResultOf(drained)
            self.assertEqual(self.counters.impaired["datagrams", "dropped"], 1)
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_nothingLeft(self) -> None:
        """
        A port with nothing under way closes at once.
        """
        port = self.listening("delay=5s")
        drained = port.drain(10)
        self.reactor.advance(0)
        self.successResultOf(drained)
