"""
Echo of UNIX datagrams, on real sockets without a reactor.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echotwist import DatagramEcho
from echotwist.counters import Counters
from echotwist.guard import LocalGuard
from echotwist.journal import Journal
from echotwist.unixdiag import unreading
from echotwist.unixport import LOOK, UnixDatagramPort
from echotwist.unixsocket import openUnixDatagram

NAME = f"\0echotwist {os.getpid()}"


class Reactor(Clock):
    """
    A reactor that watches nothing.
    """

    def addReader(self, reader: object) -> None:
        """
        Do nothing.
        """

    removeReader = removeWriter = addReader


class UnixDatagramTests(SynchronousTestCase):
    """
    Tests for :class:`UnixDatagramPort`.
    """

    def setUp(self) -> None:
        """
        Open a port.
        """
        self.clock = Reactor()
        self.counters = Counters("UNIX datagram")
        listener = openUnixDatagram(NAME)
        protocol = DatagramEcho()
        journal = Journal(self.counters, self.clock.seconds)
        self.port: Any = UnixDatagramPort(listener, protocol, LocalGuard(), journal, self.clock)
        self.port.startListening()
        self.addCleanup(listener.close)

    def client(self, name: str, connected: bool = True) -> socket.socket:
        """
        Make a client.
        """
        client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.setblocking(False)
        client.bind(NAME + name)
        if connected:
            client.connect(NAME)
        return client

    def test_largest(self) -> None:
        """
        Datagrams that no internet protocol could carry come back whole.
        """
        client = self.client("large")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**30)
        for size in (0, 1, 65_536, 200_000):
            client.send(bytes(size))
            self.port.doRead()
            self.assertEqual(len(client.recv(size + 1)), size)

    def test_unbound(self) -> None:
        """
        Who has no name cannot be answered; that is counted.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"hello", NAME)
        self.port.doRead()
        self.assertEqual(self.counters.refused, {"unbound sender": 1})

    def exhaust(self, *hogs: socket.socket, size: int) -> None:
        """
        Send much more than any buffer holds, and read nothing.
        """
        room = self.port.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        for number in range(2 * room // (size + 512)):
            for hog in hogs:
                hog.send(b"%08d" % number + bytes(size - 8) if size else b"")
            self.port.doRead()

    def test_neverReads(self) -> None:
        """
        However many never read, whoever does is answered.
        """
        for size in (0, 1000, 20_000):
            hogs = [self.client(f"{size} {number}") for number in range(3)]
            honest = self.client(f"{size}")
            self.exhaust(*hogs, size=size)
            for number in range(100):
                honest.send(b"%d" % number)
                self.port.doRead()
                self.assertEqual(honest.recv(100), b"%d" % number)
            for hog in hogs:
                hog.close()
        self.assertGreater(self.counters.refused["peer reads nothing"], 0)
        self.assertEqual(self.counters.errors, {})

    def test_readsAgain(self) -> None:
        """
        Who reads at last is answered again.
        """
        hog = self.client("hog")
        self.exhaust(hog, size=1000)
        try:
            while True:
                hog.recv(2000)
        except BlockingIOError:
            self.clock.advance(2 * LOOK)
        hog.send(b"hello")
        self.port.doRead()
        self.assertEqual(hog.recv(100), b"hello")

    def test_others(self) -> None:
        """
        Who is not connected has the kernel's own limit.
        """
        hog = self.client("hog", connected=False)
        for number in range(1000):
            hog.sendto(b"%d" % number, NAME)
            self.port.doRead()
        self.assertEqual([call for call, _ in self.counters.errors], ["send"])

    def test_unreading(self) -> None:
        """
        The kernel tells who has something unread, and forgets it when it is read.
        """
        client, other = self.client("client"), self.client("other", connected=False)
        other.sendto(b"hello", NAME)
        client.send(b"hello")
        self.assertEqual(unreading(self.port.socket), frozenset())
        self.port.doRead()
        self.assertEqual(unreading(self.port.socket), {os.fsencode(NAME + "client")})
        client.recv(100)
        self.assertEqual(unreading(self.port.socket), frozenset())
