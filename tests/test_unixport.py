"""
Echo of UNIX datagrams, on real sockets without a reactor.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echotwist import DatagramEcho, unixdiag
from echotwist.counters import Counters
from echotwist.guard import LocalGuard
from echotwist.journal import Journal
from echotwist.unixdiag import MOMENT, PAUSE, Readers
from echotwist.unixport import UnixDatagramPort
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
        self.port.clock = self.clock.seconds
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
        for number in range(2 * room // (size + 512) // len(hogs)):
            for hog in hogs:
                hog.sendto(b"%08d" % number + bytes(size - 8) if size else b"", NAME)
                self.port.doRead()

    def isAnswered(self, client: socket.socket, size: int = 8) -> None:
        """
        Who reads gets all of its replies.
        """
        for number in range(100):
            datagram = (b"%d" % number).ljust(size)
            client.sendto(datagram, NAME)
            self.port.doRead()
            self.assertEqual(client.recv(size), datagram)

    def test_neverReads(self) -> None:
        """
        However many never read, whoever does is answered, connected or not.
        """
        for connected in (True, False):
            for size in (0, 1000, 200_000):
                name = f"{connected} {size}"
                hogs = [self.client(f"{name} {number}", connected) for number in range(20)]
                honest = [self.client(f"{name} {one}", one) for one in (True, False)]
                self.exhaust(*hogs, size=size)
                for client in honest:
                    self.isAnswered(client)
                for client in (*hogs, *honest):
                    client.close()
        self.assertGreater(self.counters.refused["peer reads nothing"], 0)

    def test_oneAfterTheOther(self) -> None:
        """
        So it is if they do not come together, but each when it was found out who
        the last was.
        """
        for number in range(20):
            self.exhaust(self.client(f"hog {number}"), size=20_000)
            self.clock.advance(1)
        self.isAnswered(self.client("honest"), size=8000)

    def test_emptyFirst(self) -> None:
        """
        An empty datagram, of which the kernel does not tell, hides none behind it.
        """
        hog = self.client("hog")
        hog.send(b"")
        self.port.doRead()
        self.exhaust(hog, size=1000)
        self.isAnswered(self.client("honest"), size=100_000)

    def test_blind(self) -> None:
        """
        Where the kernel does not tell who reads, each has one reply for each time
        that it was asked.
        """

        def refuse(inode: int) -> None:
            raise PermissionError

        self.patch(unixdiag, "_told", refuse)
        self.exhaust(self.client("hog"), size=1000)
        honest = self.client("honest")
        for number in range(10):
            for _ in range(3):
                honest.send(b"%d" % number)
                self.port.doRead()
            self.assertEqual(honest.recv(100), b"%d" % number)
            self.assertRaises(BlockingIOError, honest.recv, 100)
            self.clock.advance(2 * PAUSE)

    def test_readsAgain(self) -> None:
        """
        Who reads at last is answered again.
        """
        hog = self.client("hog")
        self.exhaust(hog, size=1000)
        with contextlib.suppress(BlockingIOError):
            while True:
                hog.recv(2000)
        self.clock.advance(2 * MOMENT)
        hog.send(b"hello")
        self.port.doRead()
        self.assertEqual(hog.recv(100), b"hello")

    def test_queue(self) -> None:
        """
        Who is not connected has the kernel's own limit as well.
        """
        hog = self.client("hog", connected=False)
        for number in range(1000):
            hog.sendto(b"%d" % number, NAME)
            self.port.doRead()
        self.assertEqual([call for call, _ in self.counters.errors], ["send"])


class ReadersTests(SynchronousTestCase):
    """
    Tests for :class:`Readers`.
    """

    def setUp(self) -> None:
        """
        Make two sockets that know each other.
        """
        self.clock = Clock()
        self.readers = Readers(self.clock.seconds)
        self.one, self.other = self.bound("one"), self.bound("other")

    def bound(self, name: str) -> socket.socket:
        """
        Open a socket.
        """
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(opened.close)
        opened.bind(NAME + name)
        return opened

    def hasRead(self, name: str) -> bool:
        """
        Ask about a socket.
        """
        return self.readers.hasRead(os.fsencode(NAME + name))

    def test_unread(self) -> None:
        """
        The kernel tells who has something unread, and who has read it.
        """
        self.assertTrue(self.hasRead("one"))
        self.other.sendto(b"hello", NAME + "one")
        self.assertFalse(self.hasRead("one"))
        self.assertTrue(self.hasRead("other"))
        self.one.recv(100)
        self.clock.advance(2 * MOMENT)
        self.assertTrue(self.hasRead("one"))

    def test_new(self) -> None:
        """
        Who came after the last look is found by another; one who is gone is not
        taken for who has its name now.
        """
        self.assertTrue(self.hasRead("one"))
        self.assertTrue(self.hasRead("other"))
        self.assertEqual(self.readers.looks, 1)
        late = self.bound("late")
        self.other.sendto(b"hello", NAME + "one")
        self.one.close()
        self.bound("one")
        for name in ("late", "one"):
            self.assertEqual([self.hasRead(name) for _ in range(3)], [True, True, True])
        self.assertEqual(self.readers.looks, 2)
        self.other.sendto(b"hello", NAME + "late")
        self.assertFalse(self.hasRead("late"))
        late.close()

    def test_unseen(self) -> None:
        """
        Who is out of sight is believed now and then.
        """
        for _ in range(3):
            self.assertEqual([self.hasRead("unseen") for _ in range(3)], [True, False, False])
            self.clock.advance(2 * PAUSE)
        self.assertEqual(self.readers.looks, 3)

    def test_path(self) -> None:
        """
        Those with a file are known by its name.
        """
        path = self.mktemp()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
            opened.bind(path)
            self.one.sendto(b"hello", path)
            self.assertFalse(self.readers.hasRead(os.fsencode(path)))
