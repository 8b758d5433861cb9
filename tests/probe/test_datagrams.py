"""
Datagrams on a socket, with a clock that the tests turn.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from unittest.mock import Mock

import pytest

from echotwist.probe import datagrams as module
from echotwist.probe.datagrams import Datagrams
from echotwist.probe.schedule import SECOND
from tests.support.live import PATIENCE, waitUntil

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has time stamps")

MS = SECOND // 1000


class Clock:
    """
    A clock that moves when somebody sleeps.
    """

    def __init__(self) -> None:
        self.now = SECOND
        self.slept: list[int] = []

    def sleep(self, seconds: float) -> None:
        """
        Move it.
        """
        self.slept.append(round(seconds * SECOND))
        self.now += self.slept[-1]


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """
    The socket of a service.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.settimeout(PATIENCE)
        yield one


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """
    The clock of the datagrams.
    """
    clock = Clock()
    monkeypatch.setattr(module, "monotonic_ns", lambda: clock.now)
    monkeypatch.setattr(module, "sleep", clock.sleep)
    return clock


def opened(stack: ExitStack, other: socket.socket) -> tuple[Datagrams, Mock]:
    """
    Open datagrams to a service, with a session that keeps what came.
    """
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect(other.getsockname())
    one.setblocking(False)
    made, session = Datagrams(Mock(), one), Mock()
    made.start(session)
    stack.callback(made.stop)
    return made, session


def answered(made: Datagrams, other: socket.socket, number: int) -> None:
    """
    Send a probe, and have its reply wait.
    """
    assert made.send(number, b"probe") == ""
    data, sender = other.recvfrom(100)
    other.sendto(data, sender)
    waitUntil(lambda: bool(made._socket.recv(100, socket.MSG_PEEK)), "the reply has come")


def test_together(other: socket.socket, clock: Clock) -> None:
    """
    Replies end no short wait.  They are read together, each with the kernel's stamps, once
    in a millisecond; and so often also where there is no time to wait at all.
    """
    with ExitStack() as stack:
        made, session = opened(stack, other)
        answered(made, other, 1)
        assert made.waitUntil(clock.now + MS // 5)
        [call] = session.arrived.call_args_list
        assert 0 < made.leftAt(1) <= call.args[1].stamped
        for number in (2, 3, 4):
            answered(made, other, number)
            assert made.waitUntil(clock.now + MS // 5)
        assert made.waitUntil(clock.now)
        assert (clock.slept, session.arrived.call_count) == ([MS // 5] * 3, 1)
        clock.now += MS
        assert made.waitUntil(clock.now - MS)
        arrivals = [call.args[1] for call in session.arrived.call_args_list]
        assert (clock.slept, len(arrivals)) == ([MS // 5] * 3, 4)
        assert {arrival.now for arrival in arrivals[1:]} == {clock.now}
        for number, arrival in enumerate(arrivals, 1):
            assert 0 < made.leftAt(number) <= arrival.stamped


def test_listening(other: socket.socket, clock: Clock) -> None:
    """
    A longer wait ends when a reply comes, and so does any wait without the kernel's stamps.
    """
    for isStamped, wait in ((True, 1000 * MS), (False, MS // 5)):
        with ExitStack() as stack:
            made, session = opened(stack, other)
            made.isStamped = isStamped
            answered(made, other, 1)
            assert made.waitUntil(clock.now + wait)
            assert (clock.slept, session.arrived.call_count) == ([], 1)
