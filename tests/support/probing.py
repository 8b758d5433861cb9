"""
What the tests of the probe need: a way to run it, and services that misbehave and count.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from hypothesis import settings

from tests.support.forks import PROGRAM as PROGRAM
from tests.support.forks import run
from tests.support.live import PATIENCE, ROOT

#: Properties are tried on so many examples, however slow the machine is.
bounded = settings(deadline=None, max_examples=50)


def probe(*words: str) -> subprocess.CompletedProcess[str]:
    """
    Run the probe.
    """
    return run([*PROGRAM, *words], ROOT, PATIENCE)


def finish(one: Coroutine[Any, Any, object]) -> None:
    """
    Run a coroutine that waits for nothing.
    """
    try:
        one.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


#: Statuses of a measurement that went well: on a busy machine it may be late itself.
WELL = (0, 4)


def measured(*words: str, status: int | None = None) -> dict[str, Any]:
    """
    Run the probe, and give what it found of its one target.

    :param status: that it ends with, if not well.
    """
    report = reported(*words, status=status)
    [result] = report["results"]
    return dict(result)


def reported(*words: str, status: int | None = None) -> dict[str, Any]:
    """
    Run the probe, and give all that it found.
    """
    done = probe(*words, "--json")
    assert done.returncode in (WELL if status is None else [status]), done.stdout + done.stderr
    assert not done.stderr
    return dict(json.loads(done.stdout))


#: Takes what was done so far, to be counted on, the number of a datagram, from 1 on, and
#: its bytes; gives what to answer, each with the seconds to wait before.
Treat = Callable[[Counter[str], int, bytes], list[tuple[float, bytes]]]


class Misbehaving:
    """
    A UDP echo that does what it is told with each datagram, and counts.

    :param treat: what to do.
    :param host: the address to listen on.
    :ivar did: how often each thing was done; the test's own words.
    """

    def __init__(self, treat: Treat, host: str = "127.0.0.1") -> None:
        self.did: Counter[str] = Counter()
        self._treat = treat
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
        self._socket.bind((host, 0))
        self._ends = False
        self._thread = Thread(target=self._run)

    @property
    def target(self) -> str:
        """
        What to probe.
        """
        return f"udp:127.0.0.1:{self._socket.getsockname()[1]}"

    def _run(self) -> None:
        waiting: list[tuple[float, bytes, Any]] = []
        number = 0
        while not self._ends:
            wait = max(0.0, min(one[0] for one in waiting) - time.monotonic()) if waiting else 0.05
            if select.select([self._socket], [], [], min(wait, 0.05))[0]:
                data, peer = self._socket.recvfrom(2**16)
                number += 1
                now = time.monotonic()
                for delay, reply in self._treat(self.did, number, data):
                    waiting.append((now + delay, reply, peer))
            due = [one for one in waiting if one[0] <= time.monotonic()]
            for one in sorted(due, key=lambda one: one[0]):
                waiting.remove(one)
                self._socket.sendto(*one[1:])

    def __enter__(self) -> Misbehaving:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._thread.join(PATIENCE)
        self._socket.close()


@contextmanager
def streams(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """
    Have a TCP service that does what it is told with each connection, one by one.

    :return: what to probe.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                serve(connection)

    thread = Thread(target=run)
    thread.start()
    try:
        yield f"tcp:127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE)
