"""
Echo of UNIX datagrams, on real sockets without a reactor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echotwist import DatagramEcho
from echotwist.datagrams import unix as unixport
from echotwist.datagrams.guard import UnixGuard
from echotwist.datagrams.unix import UnixDatagramPort
from echotwist.sockets import unixdiag, unixpeer
from echotwist.sockets.unix import openUnix, openUnixDatagram, prepareDatagram
from echotwist.sockets.unixdiag import UNREAD_PAUSE, UNSEEN_PAUSE, Readers
from echotwist.sockets.unixpeer import LONGEST_NAME, NOBODY, placesOf, senderOf
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.log import RateLimitedLog

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


def bindLongest(client: socket.socket, folder: Path) -> None:
    """
    Bind to a name that fills its place to the last byte: Python leaves one for NUL.
    """
    name = os.fsencode(folder / "x").ljust(LONGEST_NAME, b"x")
    address = struct.pack("@H", socket.AF_UNIX) + name
    assert not ctypes.CDLL(None).bind(client.fileno(), address, len(address))


class PortTests(SynchronousTestCase):
    """
    A port, and its clients.
    """

    def setUp(self) -> None:
        """
        Open a port, and a folder whose name is short.
        """
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.clock: Any = Reactor()
        self.counters = Counters("UNIX datagram")
        self.listener = openUnixDatagram(NAME)
        self.addCleanup(self.listener.close)
        self.port = self.serving(self.listener)

    def serving(self, *listeners: socket.socket) -> Any:
        """
        Start the port of the first of some listeners.
        """
        guard = UnixGuard(placesOf(listeners))
        limitedLog = RateLimitedLog(self.counters, self.clock.seconds)
        port: Any = UnixDatagramPort(listeners[0], DatagramEcho(), guard, limitedLog, self.clock)
        port.clock = self.clock.seconds
        port.startListening()
        return port

    def bound(self, name: str | Path | bytes) -> socket.socket:
        """
        Make a socket that has a name.
        """
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(opened.close)
        opened.setblocking(False)
        opened.bind(name if isinstance(name, bytes) else str(name))
        return opened

    def client(self, name: str, connected: bool = True) -> socket.socket:
        """
        Make a client that has a file.
        """
        client = self.bound(self.folder / name)
        if connected:
            client.connect(NAME)
        return client

    def gets(self, client: socket.socket, *datagrams: bytes) -> None:
        """
        Check that a socket has these datagrams, and no more.
        """
        for datagram in datagrams:
            self.assertEqual(client.recv(100), datagram)
        self.assertRaises(BlockingIOError, client.recv, 100)

    def refused(self, reason: str, *never: socket.socket) -> None:
        """
        Check that what waits is refused for a reason, and not sent, to these nor
        anywhere.
        """
        before = self.counters.refused[reason]
        self.port.doRead()
        self.assertEqual(self.counters.refused, {reason: before + 1})
        self.assertEqual((self.counters.sentDatagrams, dict(self.counters.errors)), (0, {}))
        for one in never:
            self.gets(one)


class UnixDatagramTests(PortTests):
    """
    Tests for :class:`UnixDatagramPort`.
    """

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

    def test_names(self) -> None:
        """
        A client is answered whatever its name is, unless it is relative: an abstract
        name of one byte, and a path with no NUL at its end too.
        """
        for name in (b"\0", NAME.encode() + b"\0\xff", os.fsencode(self.folder / "\udcff")):
            client = self.bound(name)
            client.sendto(name, NAME)
            self.port.doRead()
            self.gets(client, name)
        client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.setblocking(False)
        bindLongest(client, self.folder)
        client.sendto(b"hello", NAME)
        self.port.doRead()
        self.gets(client, b"hello")

    def test_unbound(self) -> None:
        """
        A datagram from a socket without a name cannot be answered; that is counted.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"hello", NAME)
        self.refused("unbound sender")

    def test_descriptors(self) -> None:
        """
        Descriptors that a client sends along are not taken.
        """
        client = self.client("passing")
        before = len(os.listdir("/proc/self/fd"))
        socket.send_fds(client, [b"hello"], [0, 1, 2])
        self.port.doRead()
        self.gets(client, b"hello")
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

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
        A client that reads gets all of its replies.
        """
        for number in range(100):
            datagram = (b"%d" % number).ljust(size)
            client.sendto(datagram, NAME)
            self.port.doRead()
            self.assertEqual(client.recv(size), datagram)

    def test_neverReads(self) -> None:
        """
        However many clients never read, one that does is answered, connected or not.
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
        The same holds if they come one by one, each after the service has found the
        last one out.
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
        Where the kernel does not tell which peers read, each has one reply for each time
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
            self.clock.advance(2 * UNSEEN_PAUSE)

    def test_readsAgain(self) -> None:
        """
        A client that reads at last is answered again.
        """
        hog = self.client("hog")
        self.exhaust(hog, size=1000)
        with contextlib.suppress(BlockingIOError):
            while True:
                hog.recv(2000)
        self.clock.advance(2 * UNREAD_PAUSE)
        hog.send(b"hello")
        self.port.doRead()
        self.assertEqual(hog.recv(100), b"hello")

    def test_queue(self) -> None:
        """
        A client that is not connected has the kernel's own limit as well.
        """
        hog = self.client("hog", connected=False)
        for number in range(1000):
            hog.sendto(b"%d" % number, NAME)
            self.port.doRead()
        self.assertEqual([call for call, _ in self.counters.errors], ["send"])


class OwnerTests(PortTests):
    """
    A reply goes to a socket of the sender, or nowhere.
    """

    def setUp(self) -> None:
        """
        Make a victim's socket, in a folder of its own, and a client that is to lead
        its name there.
        """
        super().setUp()
        for name in ("mine", "other"):
            (self.folder / name).mkdir()
        self.victim = self.bound(self.folder / "other" / "s")
        self.path = self.folder / "mine" / "s"
        self.sender = self.bound(self.path)

    def sentByAnother(self, user: int = 12345) -> None:
        """
        Have all datagrams be another user's.
        """
        self.patch(unixport, "senderOf", lambda control: user)

    def leads(self, target: Path) -> Iterator[None]:
        """
        Lead the client's name to another file, in several ways.
        """
        self.path.unlink()
        os.link(target, self.path)
        yield
        self.path.unlink()
        self.path.parent.rmdir()
        self.path.parent.symlink_to(target.parent)
        yield

    def test_symlink(self) -> None:
        """
        A symbolic link in the place of the sender's socket is not followed, wherever it
        leads.
        """
        self.path.unlink()
        self.path.symlink_to("../other/s")
        self.sender.sendto(b"STOPPING=1", NAME)
        self.refused("name of no socket", self.victim, self.sender)

    def test_another(self) -> None:
        """
        Another user's socket does not get the reply either, however the name leads
        there.
        """
        self.sentByAnother()
        for _ in self.leads(self.folder / "other" / "s"):
            self.sender.sendto(b"STOPPING=1", NAME)
            self.refused("socket of another user", self.victim, self.sender)

    def test_link(self) -> None:
        """
        A link on the way to the sender's own socket is followed, as of /var/run.
        """
        (self.folder / "run").symlink_to("mine")
        client = self.bound(self.folder / "run" / "me")
        client.sendto(b"hello", NAME)
        self.port.doRead()
        self.gets(client, b"hello")

    def test_relative(self) -> None:
        """
        A relative name means another file in our folder.
        """
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder / "mine")
        for name in ("s2", "./s3", "../mine/s4"):
            sender = self.bound(name)
            sender.sendto(b"STOPPING=1", NAME)
            self.refused("relative name", sender)

    def test_swapped(self) -> None:
        """
        Nothing can take the place of the sender's socket after the service has looked
        at it.
        """

        def swap(size: int, name: bytes) -> str:
            self.path.unlink()
            self.path.symlink_to("../other/s")
            return ""

        self.port._refusal = swap
        self.sender.sendto(b"STOPPING=1", NAME)
        self.port.doRead()
        self.gets(self.sender, b"STOPPING=1")
        self.gets(self.victim)

    def test_own(self) -> None:
        """
        A name that leads to a socket of this service is refused at once, to another
        of its sockets as well.
        """
        names = [str(self.folder / "other" / name) for name in ("one", "two", "three")]
        listeners = [openUnixDatagram(names[0]), openUnixDatagram(names[1])]
        listeners.append(openUnix(names[2], socket.SOCK_STREAM, backlog=5))
        for listener in listeners:
            self.addCleanup(listener.close)
        self.port = self.serving(*listeners)
        for name in names:
            path = self.folder / "mine" / Path(name).name
            sender = self.bound(path)
            path.unlink()
            os.link(name, path)
            sender.sendto(b"round", names[0])
            self.refused("own socket as source", sender)
        sender = self.bound(self.folder / "mine" / "four")
        Path(names[0]).rename(self.folder / "other" / "four")
        shutil.rmtree(self.folder / "mine")
        (self.folder / "mine").symlink_to("other")
        sender.sendto(b"round", str(self.folder / "other" / "four"))
        self.refused("own socket as source", sender)

    def test_gone(self) -> None:
        """
        A client that is gone causes an error of sending, whatever its name was.
        """
        for name in (self.folder / "gone", NAME + "gone"):
            with self.bound(name) as client:
                client.sendto(b"hello", NAME)
            self.port.doRead()
        self.assertEqual(self.counters.errors, {("send", "ECONNREFUSED"): 2})

    def test_abstract(self) -> None:
        """
        A socket of another user that took an abstract name after its sender was gone
        does not get the reply.
        """
        with self.bound(NAME + "taken") as client:
            client.sendto(b"STOPPING=1", NAME)
        self.sentByAnother()
        self.refused("socket of another user", self.bound(NAME + "taken"))

    def test_noProc(self) -> None:
        """
        Where no file can be reached by its descriptor, those with a file are refused.
        """
        self.patch(unixport, "OPENED", "/nonexistent")
        self.listener.close()
        self.listener = openUnixDatagram(NAME)
        self.addCleanup(self.listener.close)
        self.port = self.serving(self.listener)
        self.sender.sendto(b"hello", NAME)
        self.refused("no /proc", self.sender)

    def test_blind(self) -> None:
        """
        Where the kernel does not tell whose abstract names are, they are refused.
        """
        self.patch(unixdiag, "_told", lambda inode: iter(()))
        client = self.bound(NAME + "blind")
        client.sendto(b"hello", NAME)
        self.refused("unknown owner", client)

    def test_early(self) -> None:
        """
        A datagram that came before the service asked for credentials is answered to
        the socket that still has the name, and to none that was moved there.
        """
        name = NAME + "early"
        early = self.bound(name)
        for number in range(2):
            self.sender.sendto(b"%d" % number, name)
        prepareDatagram(early)
        self.port = self.serving(early)
        self.port.handleNext()
        self.gets(self.sender, b"0")
        self.counters.sentDatagrams = 0
        self.sender.close()
        (self.folder / "other" / "s").rename(self.path)
        self.refused("unknown sender", self.victim)


class SenderTests(SynchronousTestCase):
    """
    Tests for :func:`senderOf`.
    """

    def sender(self, process: int, user: int) -> int | None:
        """
        Return the sender of a datagram with such credentials.
        """
        data = struct.pack("iII", process, user, 1000)
        return senderOf([(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, data)])

    def test_user(self) -> None:
        """
        It is the user that the kernel names, also if the process is out of sight.
        """
        self.patch(unixpeer, "ALL_KNOWN", True)
        self.assertEqual([self.sender(1, 1000), self.sender(0, 0)], [1000, 0])
        self.assertEqual(self.sender(1, NOBODY), NOBODY)

    def test_unknown(self) -> None:
        """
        A datagram without credentials has no known sender; in a user namespace all
        unknown users have the same number.
        """
        self.assertIsNone(senderOf([]))
        self.assertIsNone(self.sender(0, NOBODY))
        self.patch(unixpeer, "ALL_KNOWN", False)
        self.assertIsNone(self.sender(1, NOBODY))
        self.assertEqual(self.sender(1, 1000), 1000)


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
        The kernel tells which socket has something unread, and which has read it.
        """
        self.assertTrue(self.hasRead("one"))
        self.other.sendto(b"hello", NAME + "one")
        self.assertFalse(self.hasRead("one"))
        self.assertTrue(self.hasRead("other"))
        self.one.recv(100)
        self.clock.advance(2 * UNREAD_PAUSE)
        self.assertTrue(self.hasRead("one"))

    def test_new(self) -> None:
        """
        Each socket is searched for once; a new socket is not taken for an old one of
        the same name.
        """
        self.assertTrue(self.hasRead("one"))
        self.assertTrue(self.hasRead("other"))
        self.assertTrue(self.hasRead("one"))
        self.assertEqual(self.readers.searches, 2)
        late = self.bound("late")
        self.other.sendto(b"hello", NAME + "one")
        self.one.close()
        self.bound("one")
        for name in ("late", "one"):
            self.assertEqual([self.hasRead(name) for _ in range(3)], [True, True, True])
        self.assertEqual(self.readers.searches, 4)
        self.other.sendto(b"hello", NAME + "late")
        self.assertFalse(self.hasRead("late"))
        late.close()

    def test_unseen(self) -> None:
        """
        A peer that the kernel does not show counts as a reader now and then.
        """
        for _ in range(3):
            self.assertEqual([self.hasRead("unseen") for _ in range(3)], [True, False, False])
            self.clock.advance(2 * UNSEEN_PAUSE)
        self.assertEqual(self.readers.searches, 3)

    def test_streams(self) -> None:
        """
        A stream socket with the same abstract name is another peer's.
        """
        self.other.sendto(b"hello", NAME + "one")
        with socket.socket(socket.AF_UNIX) as stream:
            stream.bind(NAME + "one")
            self.assertFalse(self.hasRead("one"))

    def test_path(self) -> None:
        """
        Sockets with a file are known by its name.
        """
        path = self.mktemp()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
            opened.bind(path)
            self.one.sendto(b"hello", path)
            self.assertFalse(self.readers.hasRead(os.fsencode(path)))
