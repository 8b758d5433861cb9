"""
What systemd passes and hears.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echotwist.sockets import passed as systemd
from echotwist.sockets.errors import ListenError
from echotwist.sockets.opening import transportOf
from echotwist.sockets.options import HasFileno, setLinger
from echotwist.sockets.passed import adopt, find, passed
from echotwist.telemetry.notifier import Notifier


class AdoptTests(SynchronousTestCase):
    """
    Tests for taking over sockets.
    """

    def setUp(self) -> None:
        """
        Have it look for descriptors that are free in this process.
        """
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        self.environ: dict[str, str] = {}
        self.patch(os, "environ", self.environ)
        self.patch(systemd, "_atStart", dict)
        self.patch(systemd, "_taken", False)

    def passOn(self, *sockets: HasFileno, count: str = "") -> None:
        """
        Pass sockets.

        :param count: what is said of how many there are.
        """
        # These stand for 3 and on, which pytest may have.
        self.first = max(map(int, os.listdir("/dev/fd"))) + 10
        self.patch(systemd, "FIRST_DESCRIPTOR", self.first)
        for number, one in enumerate(sockets, self.first):
            os.dup2(one.fileno(), number)
        count = count or str(len(sockets))
        self.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count)
        systemd._taken = False

    def give(self, *sockets: HasFileno, count: str = "") -> list[socket.socket]:
        """
        Pass sockets, and take them over.
        """
        self.passOn(*sockets, count=count)
        try:
            find()
            return [self.stack.enter_context(one) for one in adopt(None)]
        except ListenError:
            for number in range(self.first, self.first + len(sockets)):
                os.close(number)
            raise

    def bound(self, family: int, kind: int, address: Any, listens: bool = True) -> socket.socket:
        """
        Open a socket.
        """
        opened = self.stack.enter_context(socket.socket(family, kind))
        opened.bind(address)
        if kind == socket.SOCK_STREAM and listens:
            opened.listen()
        return opened

    def test_kinds(self) -> None:
        """
        What each is shows from the socket itself.
        """
        name = f"\0echotwist {os.getpid()}"
        adopted = self.give(
            self.bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            self.bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            self.bound(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            self.bound(socket.AF_INET6, socket.SOCK_DGRAM, ("::1", 0)),
            self.bound(socket.AF_UNIX, socket.SOCK_STREAM, name),
            self.bound(socket.AF_UNIX, socket.SOCK_DGRAM, name),
        )
        kinds = ["TCP", "UDP", "TCP", "UDP", "UNIX", "UNIX datagram"]
        self.assertEqual([transportOf(one) for one in adopted], kinds)
        for one in adopted:
            self.assertFalse(one.getblocking())
            self.assertFalse(os.get_inheritable(one.fileno()))
        self.assertTrue(adopted[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def mistake(self, *sockets: HasFileno) -> str:
        """
        Return what is said of sockets that cannot be served.
        """
        return str(self.assertRaises(ListenError, self.give, *sockets))

    def test_wrong(self) -> None:
        """
        A socket that cannot be served is named in one line.
        """
        name = f"\0echotwist {os.getpid()}"
        sequence = self.bound(socket.AF_UNIX, socket.SOCK_SEQPACKET, name)
        self.assertIn("neither stream nor datagram", self.mistake(sequence))
        silent = self.bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0), False)
        self.assertIn("needs Accept=no", self.mistake(silent))
        with open(os.devnull) as file:
            self.assertIn("non-socket", self.mistake(file))
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            with socket.socket(family, socket.SOCK_DGRAM) as unbound:
                self.assertIn("bound to no address", self.mistake(unbound))

    def test_fewer(self) -> None:
        """
        So is that there are fewer than it is said.
        """
        one = self.bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        for count in ("2", "999999999"):
            said = str(self.assertRaises(ListenError, self.give, one, count=count))
            self.assertIn(f"descriptor {self.first + 1} of systemd: Bad file descriptor", said)

    def test_endpoints(self) -> None:
        """
        What an endpoint has taken is left to it, even if something else has got
        its number.
        """
        place = ("127.0.0.1", 0)
        three = [self.bound(socket.AF_INET, socket.SOCK_DGRAM, place) for _ in range(3)]
        self.passOn(*three)
        find()
        os.close(self.first)
        with open(os.devnull) as file:
            os.dup2(file.fileno(), self.first + 1, inheritable=False)
        self.addCleanup(os.close, self.first + 1)
        [left] = [self.stack.enter_context(one) for one in adopt(None)]
        self.assertEqual(left.getsockname(), three[2].getsockname())

    def test_lingering(self) -> None:
        """
        Options that another service set before on the same sockets are cleared.
        """
        listener = self.bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        setLinger(listener, 6)
        [adopted] = self.give(listener)
        said = adopted.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        self.assertEqual(struct.unpack("ii", said)[0], 0)

    def test_reports(self) -> None:
        """
        Reports on replies are turned off: they would make replies to others fail.
        """
        for family, place, level, option in [
            (socket.AF_INET, ("127.0.0.1", 0), socket.IPPROTO_IP, 11),
            (socket.AF_INET6, ("::1", 0), socket.IPPROTO_IPV6, 25),
        ]:
            listener = self.bound(family, socket.SOCK_DGRAM, place)
            listener.setsockopt(level, option, 1)
            [adopted] = self.give(listener)
            self.assertEqual(adopted.getsockopt(level, option), 0)

    def test_room(self) -> None:
        """
        A UNIX datagram as large as a peer can send can be sent back.
        """
        name = f"\0echotwist {os.getpid()}"
        [adopted] = self.give(self.bound(socket.AF_UNIX, socket.SOCK_DGRAM, name))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**30)
            most = client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        self.assertEqual(adopted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF), most)

    def test_none(self) -> None:
        """
        So is that there are none: they may have been another process's.
        """
        ours = str(os.getpid())
        for environ in (
            {},
            {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
            {"LISTEN_FDS": "1"},
            *({"LISTEN_PID": ours, "LISTEN_FDS": count} for count in ("", "-1", " 1", "1_0")),
        ):
            self.environ.clear()
            self.environ.update(environ)
            self.assertEqual(passed(), 0)
            said = str(self.assertRaises(ListenError, find))
            self.assertIn("no socket was passed", said)

    def test_twice(self) -> None:
        """
        They are taken over once: their numbers may be somebody else's by then.
        """
        self.give(self.bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)))
        said = str(self.assertRaises(ListenError, find))
        self.assertIn("no socket was passed", said)

    def test_taken(self) -> None:
        """
        The words count even if somebody has taken them out of the environment.
        """
        words = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}
        self.patch(systemd, "_atStart", lambda: words)
        self.assertEqual(passed(), 2)

    def test_atStart(self) -> None:
        """
        The environment as it was at first can be read.
        """
        self.doCleanups()
        expected = Path("/proc/self/environ").read_bytes().count(b"=") > 0
        self.assertEqual(bool(systemd._atStart()), expected)


class NotifierTests(SynchronousTestCase):
    """
    Tests for :class:`Notifier`, with a socket in the manager's place.
    """

    def setUp(self) -> None:
        """
        Listen.
        """
        self.clock = Clock()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.setblocking(False)
        self.manager.bind(f"\0echotwist notify {os.getpid()}")
        self.place = f"@echotwist notify {os.getpid()}"

    def notifier(self, **environ: str) -> Notifier:
        """
        Make one.
        """
        return Notifier({"NOTIFY_SOCKET": self.place} | environ, self.clock)

    def heard(self) -> list[bytes]:
        """
        Return what the manager has heard.
        """
        words = []
        try:
            while True:
                words.append(self.manager.recv(1000))
        except BlockingIOError:
            return words

    def test_states(self) -> None:
        """
        It tells that it is ready, and that it stops, and how it stands.
        """
        notifier = self.notifier()
        notifier.ready("echo on TCP [::]:7")
        notifier.stopping("going")
        self.assertEqual(
            self.heard(),
            [b"READY=1\nSTATUS=echo on TCP [::]:7", b"STOPPING=1\nSTATUS=going"],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_watchdog(self) -> None:
        """
        Asked to, it shows that it lives, twice in the time given, until it has stopped.
        """
        for pid in ({}, {"WATCHDOG_PID": str(os.getpid())}):
            notifier = self.notifier(WATCHDOG_USEC="2000000", **pid)
            notifier.ready("")
            self.assertEqual(self.heard()[1:], [b"WATCHDOG=1"])
            for _ in range(3):
                self.clock.advance(1)
                self.assertEqual(self.heard(), [b"WATCHDOG=1"])
            notifier.stopping("")
            self.clock.advance(1)
            self.assertEqual(self.heard()[1:], [b"WATCHDOG=1"])
            notifier.stopped()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noWatchdog(self) -> None:
        """
        It does not if another process is asked, or if the time means nothing.
        """
        for environ in (
            {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"},
            {"WATCHDOG_USEC": "soon"},
            {"WATCHDOG_USEC": "0"},
        ):
            self.notifier(**environ).ready("")
            self.assertEqual(len(self.heard()), 1)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody(self) -> None:
        """
        If nobody is to hear, nothing is said; if nobody does, it is logged.
        """
        self.place = ""
        self.notifier(WATCHDOG_USEC="2000000").ready("")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.place = "/nowhere/at/all"
        with capturedLogs() as events:
            notifier = self.notifier(WATCHDOG_USEC="2000000")
            notifier.ready("")
            self.clock.pump([1] * 10)
            notifier.stopped()
        self.assertEqual(
            [event["reason"] for event in events], ["No such file or directory (errno 2)"]
        )
