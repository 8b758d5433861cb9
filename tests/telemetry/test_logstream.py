"""
Streams that never block.
"""

from __future__ import annotations

import os
import pty
import socket
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from echotwist.telemetry.logstream import keepFromBlocking
from tests.support.live import waitUntil

LINE = "x" * 99 + "\n"

#: Lines of more bytes than any of them takes.
MANY = 50_000


class StreamTests(SynchronousTestCase):
    """
    Tests for :func:`keepFromBlocking`.
    """

    def setUp(self) -> None:
        """
        Collect what is logged.
        """
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def opened(self, fd: int) -> TextIO:
        """
        Make a stream that never blocks.
        """
        stream = open(fd, "w", encoding="utf-8")  # noqa: SIM115
        self.addCleanup(stream.close)
        keepFromBlocking(stream)
        return stream

    def ends(self, made: tuple[int, int]) -> tuple[int, TextIO]:
        """
        Return the end to read from, and the stream at the other.
        """
        self.addCleanup(os.close, made[0])
        os.set_blocking(made[0], False)
        return made[0], self.opened(made[1])

    def read(self, fd: int) -> str:
        """
        Read all that there is.
        """
        got = b""
        try:
            while data := os.read(fd, 65_536):
                got += data
        except BlockingIOError:
            pass
        return got.decode()

    def check(self, here: int, stream: TextIO, resume: Callable[[], object]) -> None:
        """
        Check that no line is lost without being counted, and that none is torn.
        """
        for _ in range(MANY):
            self.assertEqual(stream.write(LINE), len(LINE))
        stream.flush()
        resume()
        got = ""

        def isComplete() -> bool:
            nonlocal got
            got += self.read(here)
            stream.write("")
            dropped = sum(int(note["lines"]) for note in self.events)
            return got.count("\n") + dropped == MANY

        waitUntil(isComplete, "each line has come, or is counted")
        self.assertLessEqual(set(got.splitlines()), {LINE[:-1]})
        self.assertGreater(len(self.events), 0)

    def test_pipe(self) -> None:
        """
        A pipe takes some lines; the others are counted.
        """
        self.check(*self.ends(os.pipe()), lambda: None)

    def test_socket(self) -> None:
        """
        So does a socket, such as that of systemd's journal.
        """
        one, other = socket.socketpair()
        self.check(*self.ends((one.detach(), other.detach())), lambda: None)

    def terminal(self) -> tuple[int, int]:
        """
        Make both ends of a terminal.
        """
        here, there = pty.openpty()
        tty.setraw(there)
        return here, there

    def test_terminal(self) -> None:
        """
        So does a terminal of which nothing is read.
        """
        here, stream = self.ends(self.terminal())
        self.check(here, stream, lambda: None)
        self.assertTrue(os.get_blocking(stream.fileno()))

    def test_stopped(self) -> None:
        """
        So does one that a person has stopped with ^S, until ^Q.
        """
        here, there = pty.openpty()
        tty.setraw(there)
        modes = termios.tcgetattr(there)
        modes[0] |= termios.IXON
        termios.tcsetattr(there, termios.TCSANOW, modes)
        ends = self.ends((here, there))
        os.write(here, b"\x13")
        self.check(*ends, lambda: os.write(here, b"\x11"))

    def test_long(self) -> None:
        """
        A line that has begun is finished as soon as there is room, and before any other.
        """
        here, stream = self.ends(os.pipe())
        text = "".join(map(str, range(MANY))) + "\n"
        stream.write(text)
        stream.write(LINE)
        got = ""
        while not got.endswith("\n"):
            got += self.read(here)
            stream.write("")
        self.assertEqual(got, text)
        stream.write(LINE)
        self.assertEqual(self.read(here), LINE)
        self.assertEqual([event["lines"] for event in self.events], [1])

    def test_gone(self) -> None:
        """
        If the reader is gone, all is dropped in silence.
        """
        here, there = os.pipe()
        os.close(here)
        stream = self.opened(there)
        for _ in range(2):
            stream.write(LINE)
        self.assertEqual(self.events, [])

    def test_others(self) -> None:
        """
        Files are left alone, and streams that are not there.
        """
        keepFromBlocking(None)
        path = Path(self.mktemp())
        with open(path, "w") as file:
            keepFromBlocking(file)
            self.assertNotIn("write", vars(file))
