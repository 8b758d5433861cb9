"""
Setting the time of the system changes no waiting time.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from OpenSSL import SSL

from tests.support.kinds import NAMED, keyAndCertificate, proxyText
from tests.support.live import PATIENCE, REACTORS, ours
from tests.support.peers import LOCAL, needed
from tests.support.rules import MIB, offer, readAll
from tests.support.streams import TLSStream, asStream, connected
from tests.support.systemd import Manager

pytestmark = pytest.mark.oneWay

#: Seconds.
HOUR = 3600

#: Seconds after which no more is taken from a client that does not read.
FULL = 0.3

#: A service on each reactor, and one of workers.
KINDS = [*REACTORS, "workers"]

#: Adds the number in a file to the time of the system, as a program sees it.
_SOURCE = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long step(void)
{
    char text[32] = "";
    int file = open(getenv("STEP"), O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof text - 1) < 0)
        abort();
    close(file);
    return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += step();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    return now ? (*now = found.tv_sec) : found.tv_sec;
}
"""


class Time:
    """
    The time of the system, as the programs of a test see it.

    :param folder: for the library that shows it to them.
    """

    def __init__(self, folder: Path) -> None:
        source, self._library, self._file = (folder / name for name in ("c.c", "c.so", "step"))
        source.write_text(_SOURCE)
        command = [needed("cc"), "-shared", "-fPIC", "-o", str(self._library), str(source)]
        subprocess.run(command, check=True, capture_output=True)
        self.step(0)

    def step(self, seconds: int) -> None:
        """
        Set it so many seconds away from what it is.
        """
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self._file)

    @property
    def exports(self) -> str:
        """
        What a shell has to say before it starts a program.
        """
        return f"export STEP={self._file} LD_PRELOAD={self._library}"


class Clocked:
    """
    A service that lives by such a time, and a client for each thing that waits.

    :param kind: the reactor that it runs on, or else it has workers.
    """

    def __init__(self, folder: Path, time: Time, kind: str, *options: str) -> None:
        folder.mkdir()
        for name, text in zip(("key.pem", "cert.pem"), keyAndCertificate(), strict=True):
            (folder / name).write_bytes(text)
        self._place = str(folder / "echo")
        self._manager = Manager(f"{folder}/n")
        self._stack = ExitStack()
        self._stack.enter_context(closing(self._manager))
        self.server = self._stack.enter_context(
            ours(
                folder,
                "--verbose",
                f"--listen=haproxy:unix:{self._place}",
                f"--listen=ssl:0:interface={LOCAL}:privateKey=key.pem:certKey=cert.pem",
                *([] if kind in REACTORS else ["--workers=2"]),
                *options,
                reactor=kind if kind in REACTORS else "",
                limit=f"{time.exports} NOTIFY_SOCKET={folder}/n WATCHDOG_USEC=200000",
            )
        )
        assert self._manager.next()["READY"] == "1"
        self.close = self._stack.close

    def connect(self) -> None:
        """
        Have clients connect: one that is silent, two that have to say something before
        they are served, and one that reads nothing.
        """
        shaken = int(self.server.waitFor(rf"TLS {LOCAL}:(\d+)")[1])
        self.unshaken = asStream(socket.create_connection((LOCAL, shaken)), TLSStream)
        self.unnamed = asStream(socket.socket(socket.AF_UNIX))
        self.unnamed.connect(self._place)
        self.silent = connected(self.server.port)
        self.full = connected(self.server.port)
        for client in (self.unshaken, self.unnamed, self.silent, self.full):
            self._stack.enter_context(client)
        self.taken = offer(self.full, 64 * MIB, patience=FULL)
        self.full.settimeout(PATIENCE)

    def live(self) -> None:
        """
        Wait until the service has shown some times that it lives, from now on.
        """
        self._manager.rest()
        signs = 0
        while signs < 3:
            signs += "WATCHDOG" in self._manager.next()

    def stop(self) -> None:
        """
        Have it stop, and wait until it begins to.
        """
        self.server.signal(signal.SIGTERM)
        self.server.waitFor("Received SIGTERM")

    def end(self) -> None:
        """
        Wait until it has stopped; how long connections lasted is in its log.
        """
        assert self.server.wait() == 0
        lasted = [float(text) for text in re.findall(r" bytes in (\S+) s", self.server.log)]
        assert lasted
        assert all(0 <= seconds < HOUR for seconds in lasted), lasted


@pytest.fixture
def time(tmp_path: Path) -> Time:
    """
    The time that services live by.
    """
    return Time(tmp_path)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """
    A thread for each service.
    """
    with ThreadPoolExecutor(len(KINDS)) as threads:
        yield threads


@pytest.fixture
def services(
    request: pytest.FixtureRequest, tmp_path: Path, time: Time, pool: ThreadPoolExecutor
) -> Iterator[list[Clocked]]:
    """
    A service on each reactor, and one of workers.
    """
    with ExitStack() as stack:

        def start(kind: str) -> Clocked:
            made = Clocked(tmp_path / kind, time, kind, *request.param)
            stack.callback(made.close)
            return made

        yield list(pool.map(start, KINDS))


@pytest.mark.parametrize(
    "services", [["--idle-timeout=3", "--stall-timeout=3", "--drain=1"]], indirect=True
)
def test_back(services: list[Clocked], time: Time, pool: ThreadPoolExecutor) -> None:
    """
    When the time is set back, everything that should end still does: silence,
    unfinished handshakes, stalls, and a drain. The watchdog hears from the service.
    """

    def end(one: Clocked) -> None:
        one.live()
        for client in (one.silent, one.unnamed, one.unshaken):
            with suppress(ConnectionResetError):
                assert client.recv_into(bytearray(1)) == 0
        one.server.waitFor(" stalled: ")
        one.connect()
        one.stop()

    list(pool.map(Clocked.connect, services))
    time.step(-HOUR)
    list(pool.map(end, services))
    time.step(-2 * HOUR)
    for one in services:
        one.end()


@pytest.mark.parametrize(
    "services", [["--idle-timeout=3600", "--stall-timeout=3600", "--drain=3600"]], indirect=True
)
def test_forward(services: list[Clocked], time: Time, pool: ThreadPoolExecutor) -> None:
    """
    When the time is set forward, no connection ends before its time.
    """

    def goOn(one: Clocked) -> None:
        one.live()
        assert isinstance(one.unshaken, TLSStream)
        one.unshaken.begin(SSL.Context(SSL.TLS_CLIENT_METHOD))
        one.unnamed.sendall(proxyText(NAMED, 1))
        for client in (one.silent, one.unnamed, one.unshaken):
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
        one.stop()

    def finish(one: Clocked) -> None:
        one.live()
        assert len(readAll(one.full)) == one.taken
        one.end()

    list(pool.map(Clocked.connect, services))
    list(pool.map(Clocked.live, services))
    time.step(2 * HOUR)
    list(pool.map(goOn, services))
    time.step(4 * HOUR)
    list(pool.map(finish, services))
