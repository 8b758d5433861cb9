"""
UNIX sockets and their files.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echotwist.sockets.addresses import nameText
from echotwist.sockets.errors import ListenError
from echotwist.sockets.unix import FileSocket, named, openUnix, openUnixDatagram

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


class FileTests(SynchronousTestCase):
    """
    Tests for the files of sockets.
    """

    def setUp(self) -> None:
        """
        Make a folder that is near: names of sockets are short.
        """
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        self.path = Path(os.path.relpath(folder / "echo"))

    def open(self, kind: socket.SocketKind = STREAM, **options: Any) -> socket.socket:
        """
        Open a socket.
        """
        listener = openUnix(str(self.path), kind, backlog=5, **options)
        self.addCleanup(listener.close)
        return listener

    def refused(self, kind: socket.SocketKind = STREAM) -> str:
        """
        Return what is said when it cannot be opened.
        """
        said = str(self.assertRaises(ListenError, self.open, kind))
        self.assertIn(str(self.path), said)
        return said

    def test_mode(self) -> None:
        """
        Owner and group may connect, unless the mode says otherwise, whatever the umask
        is.
        """
        self.addCleanup(os.umask, os.umask(0))
        chosen: list[tuple[dict[str, Any], int]] = [({}, 0o660), ({"mode": 0o606}, 0o606)]
        for mask in (0o000, 0o077):
            os.umask(mask)
            for options, mode in chosen:
                with self.open(**options):
                    self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), mode)
            self.assertEqual(os.umask(mask), mask)

    def test_closed(self) -> None:
        """
        The file goes with the socket.
        """
        for kind in (STREAM, DATAGRAM):
            self.open(kind).close()
            self.assertFalse(self.path.exists())

    def test_moved(self) -> None:
        """
        A file that is another socket's by now stays, wherever we are.
        """
        listener = self.open()
        self.path.unlink()
        self.path.write_text("mine")
        listener.close()
        self.assertEqual(self.path.read_text(), "mine")

    def test_stale(self) -> None:
        """
        A socket that no process listens on is replaced, of whatever kind.
        """
        for kind in (STREAM, DATAGRAM):
            self.path.unlink(missing_ok=True)
            self.leave(kind)
            for wanted in (DATAGRAM, STREAM):
                os.close(self.open(wanted).detach())
                self.assertTrue(self.path.is_socket())

    def test_living(self) -> None:
        """
        A socket that a process listens on is left alone, and the error is one line.
        """
        for kind in (STREAM, DATAGRAM):
            living = self.open(kind)
            for wanted in (STREAM, DATAGRAM):
                said = self.refused(wanted)
                self.assertIn("Address already in use (errno 98)", said)
                self.assertIn("another listener of this command has it", said)
            self.assertTrue(self.path.exists())
            living.close()

    def test_busy(self) -> None:
        """
        So is a socket with a full queue.
        """
        self.open()
        for _ in range(10):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.setblocking(False)
            client.connect_ex(str(self.path))
        self.assertIn("Address already in use", self.refused())

    def before(self, owner: Any, call: str, done: Callable[[], object]) -> None:
        """
        Have something done by others right before the next call of a kind.
        """
        real = getattr(owner, call)

        def once(*arguments: Any, **options: Any) -> Any:
            patch.restore()
            done()
            return real(*arguments, **options)

        patch = self.patch(owner, call, once)

    def leave(self, kind: socket.SocketKind = STREAM) -> None:
        """
        Leave a socket that no process listens on.
        """
        with socket.socket(socket.AF_UNIX, kind) as gone:
            gone.bind(str(self.path))

    def test_together(self) -> None:
        """
        If two open at the same time, at any point, one is told that the other does;
        nothing but the socket is left.
        """
        for kind, call in [(STREAM, "unlink"), (DATAGRAM, "unlink"), (STREAM, "listen")]:
            if call == "unlink":
                self.leave(kind)
            self.before(os if call == "unlink" else FileSocket, call, self.refused)
            with self.open(kind):
                self.assertEqual(os.listdir(self.path.parent), [self.path.name])
                self.assertIn("Address already in use", self.refused(kind))

    def test_lock(self) -> None:
        """
        A lock that was left is no obstacle, nor is what somebody has put in its
        place; that is neither followed nor written to.
        """
        lock = Path(f"{self.path}.lock")
        lock.touch()
        self.open().close()
        self.assertFalse(lock.exists())
        lock.symlink_to("target")
        self.open().close()
        self.assertEqual(os.listdir(self.path.parent), [lock.name])
        lock.unlink()
        lock.write_text("mine")
        self.open().close()
        self.assertEqual(lock.read_text(), "mine")
        lock.unlink()
        os.mkfifo(lock)
        self.open().close()
        lock.unlink(missing_ok=True)
        lock.mkdir()
        self.open().close()

    def test_lockTaken(self) -> None:
        """
        While somebody else has the lock, nobody opens; one that is removed before it
        is had is made again.
        """
        lock = Path(f"{self.path}.lock")
        with lock.open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            self.assertIn("Address already in use (errno 98)", self.refused())
            self.assertTrue(lock.exists())
        self.before(fcntl, "flock", lock.unlink)
        self.open().close()
        self.assertEqual(os.listdir(self.path.parent), [])

    def test_noLock(self) -> None:
        """
        Where there are no locks, it is opened without.
        """

        def none(*arguments: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        self.patch(fcntl, "flock", none)
        self.open().close()
        self.assertEqual(os.listdir(self.path.parent), [])

    def test_ledElsewhere(self) -> None:
        """
        The owner of a folder on the way to our file cannot make us remove another's
        file.
        """
        folder, other = self.path.parent, self.path.parent.with_name("other")
        other.mkdir()
        precious = other / self.path.name

        def lead() -> None:
            precious.write_text("precious")
            folder.rename(folder.with_name("mine"))
            folder.symlink_to("other")

        def back() -> None:
            folder.unlink()
            folder.with_name("mine").rename(folder)
            precious.unlink()

        listener = self.open()
        self.before(os, "unlink", lead)
        listener.close()
        self.assertEqual(precious.read_text(), "precious")
        back()
        self.leave()
        self.before(os, "unlink", lead)
        self.assertIn("Address already in use", self.refused())
        self.assertEqual(precious.read_text(), "precious")

    def test_noSocket(self) -> None:
        """
        So is what is no socket.
        """
        self.path.write_text("mine")
        self.assertIn("a file that is no socket has that name", self.refused())
        self.assertEqual(self.path.read_text(), "mine")

    def test_nowhere(self) -> None:
        """
        A place that cannot be is named in one line.
        """
        self.path = self.path / "deeper"
        self.assertIn("No such file or directory (errno 2)", self.refused())
        self.path = Path("x" * 200)
        self.assertIn("107 bytes at the most", self.refused())

    def test_abstract(self) -> None:
        """
        An abstract name has no file, and is written with ``@``.
        """
        name = named(f"\\0echotwist {os.getpid()}")
        self.assertEqual(name[0], "\0")
        with openUnix(name, STREAM, backlog=1) as listener:
            self.assertEqual(nameText(listener.getsockname()), f"@{name[1:]}")
            said = str(self.assertRaises(ListenError, openUnix, name, STREAM, backlog=1))
            self.assertIn(f"UNIX @{name[1:]}: Address already in use", said)
        openUnix(name, STREAM, backlog=1).close()

    def test_names(self) -> None:
        """
        Whatever a name holds, it is one short line of ASCII.
        """
        for name, text in [
            (None, "(unnamed)"),
            ("", "(unnamed)"),
            (b"\0a", "@a"),
            (b"\0a\nb", r"@a\nb"),
            ("/run/é", r"/run/\xe9"),
            (b"/run/\xff", r"/run/\udcff"),
        ]:
            self.assertEqual(nameText(name), text)

    def test_largest(self) -> None:
        """
        What a peer may send at once can be sent back at once.
        """
        with (
            openUnixDatagram(str(self.path)) as listener,
            socket.socket(socket.AF_UNIX, DATAGRAM) as peer,
        ):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**30)
            sizes = [
                one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) for one in (listener, peer)
            ]
            self.assertEqual(sizes[0], sizes[1])
