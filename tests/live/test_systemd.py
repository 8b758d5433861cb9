"""
What systemd passes to the service, and what it hears.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from urllib.request import urlopen

import psutil
import pytest

from tests.support import rules
from tests.support.live import PATIENCE, Server, figures, freePort, ours, waitUntil
from tests.support.noise import noise
from tests.support.peers import LOCAL, activated, failing, knocking, needed
from tests.support.rules import asking, readAll
from tests.support.streams import connected
from tests.support.systemd import Manager

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs UNIX sockets")


# Sockets.


@pytest.mark.parametrize(
    ("names", "workers"),
    [([], []), (["four", "six", "unix"], []), ([], ["--workers=2"])],
    ids=["no names", "names", "workers"],
)
def test_streams(tmp_path: Path, names: list[str], workers: list[str]) -> None:
    """
    The service serves on all stream sockets that systemd passes, and on no others,
    whether they have names or not. The client that came first is served too.
    """
    port, path = freePort(), tmp_path / "echo"
    sockets = [f"-l{LOCAL}:{port}", f"-l[::1]:{port}", f"-l{path}"]
    with socket.socket() as client:
        options = ["--systemd", *workers]
        with activated(
            tmp_path, sockets, *options, first=client, place=(LOCAL, port), names=names
        ) as server:
            assert client.recv(100) == b"first"
            wanted = rf"echo on TCP {LOCAL}:{port}, TCP \[::1\]:{port}, UNIX {path}"
            server.waitFor(f"{wanted}$" if not workers else f"{wanted}; 2 workers$")
            rules.halfClose(port, 100_000, times=5)
            for stream in (connected(port, "::1"), _unix(path)):
                with stream:
                    stream.sendall(b"hello")
                    stream.shutdown(socket.SHUT_WR)
                    assert readAll(stream) == b"hello"
            client.close()
    # The file is systemd's.
    assert path.is_socket()


def _unix(path: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(PATIENCE)
    stream.connect(str(path))
    return stream


@pytest.mark.parametrize("names", [[], ["any", "six", "unix"]], ids=["no names", "names"])
def test_datagrams(tmp_path: Path, names: list[str]) -> None:
    """
    The same holds for datagrams; replies come from the address that was asked.
    """
    one, two, path = freePort(), freePort(), tmp_path / "echo"
    sockets = ["-d", f"-l{one}", f"-l[::1]:{two}", f"-l{path}"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.bind(str(tmp_path / "client"))
        with activated(
            tmp_path, sockets, "--systemd", first=client, place=str(path), names=names
        ) as server:
            assert client.recv(100) == b"first"
            server.waitFor(rf"echo on UDP \[::\]:{one}, UDP \[::1\]:{two}, UNIX datagram {path}$")
            for host in ("127.0.0.1", "127.0.0.2", "::1"):
                rules.askedAddress(one, host)
            with asking(two, "::1") as six:
                for size in (0, 1, 1400, 65_000):
                    rules.whole(six, size)


def test_withPort(tmp_path: Path) -> None:
    """
    With ``--port`` it listens there as well.
    """
    port = freePort()
    with (
        socket.socket() as client,
        activated(
            tmp_path,
            [f"-l{port}"],
            "--systemd",
            "--port=0",
            f"-i{LOCAL}",
            first=client,
            place=(LOCAL, port),
        ) as server,
    ):
        own = server.waitFor(rf"echo on TCP {LOCAL}:(\d+), UDP {LOCAL}:\1, TCP \[::\]:{port}$")[1]
        rules.answers(int(own))
        rules.answers(port)


def test_rest(tmp_path: Path) -> None:
    """
    ``--systemd`` serves on what endpoints leave: some may be for one of them, or
    for the numbers.
    """
    ports = [freePort() for _ in range(3)]
    with (
        socket.socket() as client,
        activated(
            tmp_path,
            [f"-l{LOCAL}:{port}" for port in ports],
            "--systemd",
            "--listen=systemd:domain=INET:name=one",
            "--metrics=systemd:domain=INET:name=numbers",
            first=client,
            place=(LOCAL, ports[0]),
            names=["rest", "one", "numbers"],
        ) as server,
    ):
        server.waitFor(rf"echo on TCP {LOCAL}:{ports[0]}, TCP {LOCAL}:{ports[1]}$")
        rules.answers(ports[0])
        rules.answers(ports[1])
        with urlopen(f"http://{LOCAL}:{ports[2]}/readyz", timeout=PATIENCE) as page:
            assert page.read() == b"ready\n"


def test_nothingLeft(tmp_path: Path) -> None:
    """
    If the metrics take the only socket, the service says so in one line.
    """
    port = freePort()
    before = [needed("systemd-socket-activate"), f"-l{LOCAL}:{port}", "--fdname=numbers"]
    with socket.socket() as client, knocking(client, (LOCAL, port)):
        words = ["--systemd", "--metrics=systemd:domain=INET:name=numbers"]
        line = failing(tmp_path, *words, before=before)
    assert line == (
        "echo: cannot listen on sockets of systemd: endpoints took all of them; leave --systemd out"
    )


def test_endpoint(tmp_path: Path) -> None:
    """
    Twisted's ``systemd:`` endpoints take one socket each, by its number or its
    name.
    """
    one, two = freePort(), freePort()
    sockets = [f"-l{LOCAL}:{one}", f"-l[::1]:{two}"]
    endpoints = ["--listen=systemd:domain=INET:index=0", "--listen=systemd:domain=INET6:name=six"]
    with (
        socket.socket() as client,
        activated(
            tmp_path,
            sockets,
            *endpoints,
            first=client,
            place=(LOCAL, one),
            names=["four", "six"],
        ) as server,
    ):
        server.waitFor(rf"echo on TCP {LOCAL}:{one}, TCP \[::1\]:{two}$")
        rules.halfClose(one, 1000, times=1)
        with connected(two, "::1") as stream:
            stream.sendall(b"hello")
            assert stream.recv(100) == b"hello"


@pytest.mark.oneWay
@pytest.mark.parametrize("endpoint", ["domain=INET:index=0", "domain=INET:name=four"])
def test_endpointOfNoName(tmp_path: Path, endpoint: str) -> None:
    """
    Where the sockets have no names, an endpoint that finds none says why.
    """
    port = freePort()
    before = [needed("systemd-socket-activate"), f"-l{LOCAL}:{port}"]
    with socket.socket() as client, knocking(client, (LOCAL, port)):
        line = failing(tmp_path, f"--listen=systemd:{endpoint}", before=before)
    assert line == (
        f"echo: cannot listen on endpoint systemd:{endpoint}: no such socket was passed to this "
        "process; this endpoint finds none unless all have names; "
        "--systemd takes all as they are"
    )


@pytest.mark.oneWay
@pytest.mark.parametrize("option", ["--systemd", "--listen=systemd:domain=INET:index=0"])
def test_nothingPassed(tmp_path: Path, option: str) -> None:
    """
    Started by hand it says in one line that nothing was passed.
    """
    assert re.fullmatch(
        r"echo: cannot listen on (sockets of systemd|endpoint \S+): "
        r"no (such )?socket was passed to this process; .*",
        failing(tmp_path, option),
    )


# Restarts.

#: Runs a command again and again, as a manager does that keeps the sockets.
_MANAGER = """
echo "manager $$"
while [ ! -e end ]; do
    sh -c 'LISTEN_PID=$$ exec "$@"' sh "$@" || exit
done
"""


class Load:
    """
    Clients that connect all the time, send, half-close, and check what comes back.

    :param port: of the service.
    :param clients: how many at a time.
    :ivar exchanges: so far.
    :ivar failures: what went wrong.
    """

    def __init__(self, port: int, clients: int) -> None:
        self._port = port
        self._end = Event()
        self._threads = [Thread(target=self._work, args=(number,)) for number in range(clients)]
        self._noise = noise(300_000)
        self._sizes = (0, 1, 1000, 100_000, 300_000)
        self.exchanges = 0
        self.failures: list[str] = []

    def _work(self, number: int) -> None:
        dice = random.Random(number)
        while not self._end.is_set():
            try:
                self._exchange(self._noise[: dice.choice(self._sizes)])
                self.exchanges += 1
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))

    def _exchange(self, payload: bytes) -> None:
        with connected(self._port) as stream:
            sender = Thread(target=self._send, args=(stream, payload))
            sender.start()
            got = readAll(stream)
            sender.join()
        assert got == payload, f"{len(got)} of {len(payload)} bytes"

    def _send(self, stream: socket.socket, payload: bytes) -> None:
        try:
            stream.sendall(payload)
            stream.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.failures.append(repr(error))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(PATIENCE)


def restarted(server: Server, load: Load, times: int) -> None:
    """
    Stop the service so often, each time when it has served for a while, and
    wait until it serves again.
    """
    for number in range(times):
        before, starts = load.exchanges, server.log.count("echo on")
        waitUntil(lambda: load.exchanges >= before + 20, "it serves")  # noqa: B023
        [service] = server.workers
        service.send_signal(signal.SIGTERM)
        waitUntil(lambda: server.log.count("echo on") > starts, "it is back")  # noqa: B023
        assert not load.failures, f"restart {number}: {load.failures}"


@contextmanager
def ending(server: Server, folder: Path) -> Iterator[None]:
    """
    End the manager in the end, and what it has started.
    """
    try:
        yield
    finally:
        started = server.workers
        (folder / "end").touch()
        for process in started:
            process.send_signal(signal.SIGTERM)
        psutil.wait_procs(started, PATIENCE)


def test_restart(tmp_path: Path) -> None:
    """
    While the service is restarted again and again, under load, no connect is refused
    and no byte is lost: the sockets stay open.
    """
    port = freePort()
    with (
        socket.socket() as client,
        activated(
            tmp_path,
            [f"-l{LOCAL}:{port}"],
            "--systemd",
            first=client,
            place=(LOCAL, port),
            wrapper=["sh", "-c", _MANAGER, "sh"],
        ) as server,
        ending(server, tmp_path),
    ):
        assert client.recv(100) == b"first"
        client.close()
        with Load(port, clients=8) as load:
            start = time.monotonic()
            restarted(server, load, times=5)
            took = time.monotonic() - start
        assert not load.failures, load.failures
    figures.append(
        f"5 restarts under load in {took:.1f} s: {load.exchanges} exchanges, "
        f"{len(load.failures)} failures"
    )
    assert server.log.count("Received SIGTERM") == 6


# Notifications.


@pytest.fixture
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Manager]:
    """
    A manager that hears the services of this test.
    """
    place = str(tmp_path / "notify")
    if getattr(request, "param", "") == "abstract":
        place = f"@echotwist-{os.getpid()}-{secrets.token_hex(4)}"
    monkeypatch.setenv("NOTIFY_SOCKET", place)
    with closing(Manager(place)) as manager:
        yield manager


@pytest.mark.oneWay
@pytest.mark.parametrize(
    ("manager", "workers"),
    [("path", []), ("abstract", []), ("path", ["--workers=2"])],
    ids=["path", "abstract", "workers"],
    indirect=["manager"],
)
def test_notify(tmp_path: Path, manager: Manager, workers: list[str]) -> None:
    """
    It tells when peers are served, and where, and when it stops: once each,
    however many processes serve.
    """
    with ours(tmp_path, f"-i{LOCAL}", *workers):
        ready = manager.next()
        assert ready["READY"] == "1"
        said = re.fullmatch(rf"echo on TCP {LOCAL}:(\d+), UDP {LOCAL}:\1", ready["STATUS"])
        assert said, ready
        rules.answers(int(said[1]))
    stopping, *more = manager.rest()
    assert stopping["STOPPING"] == "1"
    assert stopping["STATUS"].startswith("stopping")
    assert more == []


@pytest.mark.oneWay
@pytest.mark.parametrize(
    ("pid", "workers"),
    [("", []), ("export WATCHDOG_PID=$$", []), ("export WATCHDOG_PID=$$", ["--workers=2"])],
    ids=["no pid", "pid", "workers"],
)
def test_watchdog(
    tmp_path: Path,
    manager: Manager,
    monkeypatch: pytest.MonkeyPatch,
    pid: str,
    workers: list[str],
) -> None:
    """
    The service gives signs of life, again and again.
    """
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with ours(tmp_path, f"-i{LOCAL}", *workers, limit=pid):
        assert manager.next()["READY"] == "1"
        for _ in range(6):
            assert manager.next() == {"WATCHDOG": "1"}
    words = [word for message in manager.rest() for word in message if word != "WATCHDOG"]
    assert words == ["STOPPING", "STATUS"]


@pytest.mark.oneWay
def test_hangingWorker(tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The service gives signs of life only while its workers live: one that hangs is
    replaced.
    """
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    with ours(tmp_path, f"-i{LOCAL}", "--workers=2") as server:
        assert manager.next()["READY"] == "1"
        server.workers[0].send_signal(signal.SIGSTOP)
        server.waitFor(r"worker \d does not answer")
        server.waitFor(r"worker \d was ended by SIGKILL")
        server.waitFor(r"worker \d serves again")
        rules.answers(server.port)


@pytest.mark.oneWay
def test_watchdogOfAnother(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It gives no signs of life in the name of another process.
    """
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    with ours(tmp_path, f"-i{LOCAL}") as server:
        assert manager.next()["READY"] == "1"
        time.sleep(0.3)  # it would have given thirty
        rules.answers(server.port)
    assert [list(message) for message in manager.rest()] == [["STOPPING", "STATUS"]]


@pytest.mark.oneWay
def test_noManager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A manager that is not there causes a warning, and no more.
    """
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with ours(tmp_path) as server:
        server.waitFor("cannot notify systemd: No such file or directory")
        rules.answers(server.port)
