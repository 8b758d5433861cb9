"""
Many packets with one call, and what the kernel tells of them.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from echotwist.probe import kernel
from echotwist.probe.receiver import Receiver
from tests.support.live import PATIENCE, waitUntil

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of it")


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """
    Two UDP sockets, each connected to the other; the kernel stamps what the first sends.
    """
    host = "127.0.0.1" if request.param == socket.AF_INET else "::1"
    with ExitStack() as stack:
        ends = [stack.enter_context(socket.socket(request.param, socket.SOCK_DGRAM)) for _ in "ab"]
        for end in ends:
            end.bind((host, 0))
            end.settimeout(PATIENCE)
        for end, other in (ends, ends[::-1]):
            end.connect(other.getsockname())
        assert kernel.askForStamps(ends[0])
        yield ends[0], ends[1]


def test_several(pair: tuple[socket.socket, socket.socket]) -> None:
    """
    One call takes as many packets as there are and as there is room for, each with its
    stamp, and cuts those that are larger; nothing stays for the next call.
    """
    one, other = pair
    room = Receiver(3, 100)
    one.setblocking(False)
    before = time.time_ns()
    for data in (b"x", b"", b"y" * 100, b"z" * 101):
        other.send(data)
    assert room.receive(one.fileno()) == 3
    assert [room.packet(number) for number in range(3)] == [b"x", b"", b"y" * 100]
    for number, at in enumerate(kernel.receivedAt(room, 3)):
        assert room.sender(number) == other.getsockname()
        assert not at or before <= at <= time.time_ns()  # Stamps begin a little later.
    assert (room.receive(one.fileno()), room.packet(0)) == (1, b"z" * 100)
    one.send(b"unstamped")
    assert (room.receive(other.fileno()), room.packet(0)) == (1, b"unstamped")
    assert (room.control(0), kernel.receivedAt(room, 1)) == (b"", [0])
    with pytest.raises(BlockingIOError):
        room.receive(one.fileno())


def test_stamps(pair: tuple[socket.socket, socket.socket]) -> None:
    """
    All stamps that are waiting are read, in as many calls as it takes.
    """
    one, _ = pair
    before = time.time_ns()
    for _ in range(50):
        one.send(b"probe")
    stamps, others = kernel.notices(one)
    for what in (kernel.QUEUED, kernel.LEFT):
        assert [key for kind, key, _ in stamps if kind == what] == list(range(50))
    assert all(before <= at <= time.time_ns() for *_, at in stamps)
    assert (others, kernel.notices(one)) == ([], ([], []))


def test_reports(pair: tuple[socket.socket, socket.socket]) -> None:
    """
    What ICMP says is told with the packet that it is about, among stamps.
    """
    one, other = pair
    kernel.askForReports(one)
    other.close()
    one.send(b"nobody is there")
    found: list[kernel.Notice] = []

    def isTold() -> bool:
        found.extend(kernel.notices(one)[1])
        return bool(found)

    waitUntil(isTold, "ICMP says something")
    host, about = one.getsockname()[0], one.getpeername()
    said = f"ICMP port unreachable from {host}"
    assert found[-1] == kernel.Report(said, b"nobody is there", host, to=about)
    with pytest.raises(BlockingIOError):
        kernel.nextNotice(one)
