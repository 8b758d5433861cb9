"""
Several processes, which are one service.
"""

from __future__ import annotations

import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from importlib import metadata
from pathlib import Path
from threading import Barrier

import psutil
import pytest

import twisted
from echotwist.cores import cores
from echotwist.workers.wire import ABORT, COMMANDS
from tests.support import rules
from tests.support.live import (
    BIN,
    PATIENCE,
    ROOT,
    Server,
    figures,
    freePort,
    lowPort,
    mistake,
    ours,
    waitUntil,
)
from tests.support.metrics import Watched
from tests.support.rules import asking, offer, readAll
from tests.support.stopping import halfWay, queued, sendAtOnce, stopped
from tests.support.streams import Stream, connected

#: Connections, of which each of two workers gets some: that all go to one
#: happens once in 2 ** 31 times.
MANY = 32


def workerOf(server: Server, stream: socket.socket) -> psutil.Process:
    """
    Find the worker that serves a connection.
    """
    port = stream.getsockname()[1]
    for worker in server.workers:
        for connection in worker.net_connections("tcp"):
            if connection.raddr and connection.raddr.port == port:
                return worker
    raise AssertionError("no worker serves it")


def ping(stream: socket.socket) -> None:
    """
    A connection is served.
    """
    stream.sendall(b"hello")
    assert stream.recv(100) == b"hello"


def pinged(server: Server, stack: ExitStack, count: int = MANY) -> list[Stream]:
    """
    Open connections that are served.
    """
    streams = [stack.enter_context(connected(server.port)) for _ in range(count)]
    for stream in streams:
        ping(stream)
    return streams


def kill(server: Server, worker: psutil.Process) -> None:
    """
    Kill a worker, and wait for the next.
    """
    said = server.log.count("serves again")
    start = time.monotonic()
    worker.kill()
    waitUntil(lambda: server.log.count("serves again") > said, "a new worker serves")
    figures.append(f"a killed worker is back after {time.monotonic() - start:.2f} s")


def test_echo(tmp_path: Path, reactorName: str) -> None:
    """
    Streams and datagrams come back whole, from the address that was asked, by
    more than one worker; the log is that of one service.
    """
    with ours(tmp_path, "--workers=3", reactor=reactorName) as server:
        rules.halfClose(server.port, 100_000, times=MANY)
        rules.bulk(server.port, 16)
        for number in range(MANY):
            rules.askedAddress(server.port, f"127.0.0.{1 + number % 3}")
        with asking(server.port) as client:
            for size in (0, 1, 9000, 65_507):
                rules.whole(client, size)
        with ExitStack() as stack:
            serving = {workerOf(server, stream) for stream in pinged(server, stack)}
        assert len(server.workers) == 3
        assert len(serving) > 1
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    for said in ("echo on", "shutting down", "Server Shut Down"):
        assert server.log.count(said) == 1, server.log
    assert server.log.count("runs as root") <= 1
    assert "ended" not in server.log
    server.waitFor(rf"echo on TCP \S+:{server.port}, UDP \S+:{server.port}; 3 workers$")


@pytest.mark.oneWay
def test_killed(tmp_path: Path, reactorName: str) -> None:
    """
    A killed worker is back, and the connections of the others never notice.
    """
    with ours(tmp_path, "--workers=2", reactor=reactorName) as server, ExitStack() as stack:
        streams = pinged(server, stack)
        killed = server.workers[0]
        of = {stream: workerOf(server, stream) for stream in streams}
        assert set(of.values()) == set(server.workers)
        kill(server, killed)
        for stream in streams:
            if of[stream] != killed:
                ping(stream)
            else:
                with pytest.raises((AssertionError, ConnectionError)):
                    ping(stream)
        old = of.values()
        assert {workerOf(server, stream) for stream in pinged(server, stack)} - set(old)
        server.waitFor(r"worker \d was ended by SIGKILL")


@pytest.mark.oneWay
def test_killedAtOnce(tmp_path: Path) -> None:
    """
    So is a worker that is killed as soon as it serves.
    """
    with ours(tmp_path, "--workers=2") as server:
        for _ in range(2):
            kill(server, server.workers[-1])
        rules.halfClose(server.port, 1000, times=MANY)


def test_waiting(tmp_path: Path) -> None:
    """
    Connections waiting for a worker that is killed go to the next one.
    """
    with ours(tmp_path, "--workers=2") as server, ExitStack() as stack:
        killed = server.workers[0]
        killed.suspend()
        streams = [stack.enter_context(connected(server.port)) for _ in range(MANY)]
        clients = [stack.enter_context(asking(server.port)) for _ in range(MANY)]
        for client in [*streams, *clients]:
            client.sendall(b"hello")
        time.sleep(0.5)
        served = select.select([*streams, *clients], [], [], 0)[0]
        assert set(streams) - set(served), "nobody waits"
        assert set(clients) - set(served), "no datagram waits"
        kill(server, killed)
        for client in [*streams, *clients]:
            assert client.recv(100) == b"hello"


def test_halfWay(tmp_path: Path) -> None:
    """
    All that is on several connections comes back whole when the service stops half-way;
    the status is 0.
    """
    with ours(tmp_path, "--workers=2", "--drain=60") as server, ThreadPoolExecutor() as pool:
        barrier = Barrier(4, lambda: stopped(server))

        def stop(_: Server) -> None:
            barrier.wait()

        runs = [pool.submit(halfWay, server, stop) for _ in range(4)]
        for run in runs:
            run.result()
        assert server.wait() == 0


def test_slowReader(tmp_path: Path) -> None:
    """
    What waits for a slow reader comes back whole.
    """
    with ours(tmp_path, "--workers=2", "--drain=60") as server:
        queued(server)
        assert server.wait() == 0


@pytest.mark.oneWay
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_toAll(tmp_path: Path, number: int) -> None:
    """
    A signal that reaches all processes counts once: a ^C in a terminal, systemd's to a
    control group.
    """
    with ours(tmp_path, "--workers=2", "--drain=60") as server, connected(server.port) as stream:
        taken = offer(stream, 2**26)
        for process in server.processes:
            process.send_signal(number)
        stream.settimeout(60)
        assert len(readAll(stream)) == taken
        assert server.wait() == 0


#: Ends the workers that a file names, or all, when they start.
_FAILING = """
import os, sys
words = sys.orig_argv
with open({path!r}) as file:
    chosen = file.read()
if "child.main()" in " ".join(words) and chosen in ("all", words[-1]):
    os.write(2, b"Error: on purpose\\n")
    os._exit(3)
"""


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    A file that says which worker is not to come up: its number, or ``all``.
    """
    file = tmp_path / "failing"
    file.touch()
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_FAILING.format(path=str(file)))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return file


@pytest.mark.oneWay
@pytest.mark.parametrize("options", [["-n"], [], ["-n", "--reactor=asyncio"]])
def test_noneStarts(tmp_path: Path, failing: Path, options: list[str]) -> None:
    """
    If no worker comes up the service gives up after some tries: one line, status 1, and
    no listener, pid file or process is left.
    """
    failing.write_text("all")
    port = freePort()
    words = [*options, "--logfile=log", "echo", f"-p{port}", "-i127.0.0.1", "--workers=2"]
    run = subprocess.run([BIN / "twistd", *words], cwd=tmp_path, check=False, timeout=PATIENCE)
    assert run.returncode == ("-n" in options)
    log = tmp_path / "log"
    waitUntil(lambda: "Server Shut Down" in log.read_text(), "it has given up")
    why = r"no worker comes up: worker \d ended with status 3: Error: on purpose$"
    assert len(re.findall(why, log.read_text(), re.M)) == 1
    assert len(log.read_text().splitlines()) < 12
    with pytest.raises(ConnectionRefusedError):
        connected(port)
    waitUntil(lambda: not (tmp_path / "twistd.pid").exists(), "the pid file is gone")


@pytest.mark.oneWay
def test_allDie(tmp_path: Path, failing: Path) -> None:
    """
    The same holds when none comes up any more; meanwhile the service is neither healthy
    nor ready.
    """
    watched = Watched(tmp_path, "--workers=2")
    with watched.server as server:
        failing.write_text("all")
        seen = set()
        for worker in server.workers:
            worker.kill()

        def ended() -> bool:
            with suppress(OSError):
                seen.update({watched.page("/healthz"), watched.page("/readyz")})
            return not server.runs()

        waitUntil(ended, "it gives up")
        assert server.wait() == 1
        statuses = {page: status for status, page in seen}
        assert statuses["starting\n"] == 503
        why = "ended with status 3: Error: on purpose"
        assert statuses[f"unhealthy: worker 1 {why}, worker 2 {why}\n"] == 503
        with pytest.raises(ConnectionRefusedError):
            connected(server.port)


def test_oneFails(tmp_path: Path, failing: Path) -> None:
    """
    If one worker does not come up, the others serve in its place, streams and
    datagrams, until it does.
    """
    watched = Watched(tmp_path, "--workers=2")
    with watched.server as server:
        failing.write_text("2")
        server.workers[1].kill()
        waitUntil(lambda: "but" in watched.page("/healthz")[1], "it fails")
        why = "worker 2 ended with status 3: Error: on purpose"
        assert watched.page("/healthz") == (200, f"healthy, but {why}\n")
        assert watched.page("/readyz") == (200, "ready\n")
        rules.halfClose(server.port, 100_000, times=MANY)
        for number in range(MANY):
            rules.askedAddress(server.port, f"127.0.0.{1 + number % 3}")
        assert server.log.count("on purpose") <= 1
        failing.write_text("")
        server.waitFor("worker 2 serves again")
        assert watched.page("/healthz") == (200, "healthy\n")
        with ExitStack() as stack:
            waitUntil(
                lambda: len({workerOf(server, one) for one in pinged(server, stack, 8)}) == 2,
                "both serve",
            )
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


@pytest.mark.oneWay
def test_oneNeverStarts(tmp_path: Path, failing: Path) -> None:
    """
    The same holds if one has never come up.
    """
    failing.write_text("1")
    with ours(tmp_path, "--workers=2", "--drain=60") as server, connected(server.port) as stream:
        rules.halfClose(server.port, 1000, times=MANY)
        taken = offer(stream, 2**26)
        server.signal(signal.SIGTERM)
        stream.settimeout(60)
        assert len(readAll(stream)) == taken
        assert server.wait() == 0


@pytest.mark.oneWay
@pytest.mark.slow
def test_hangs(tmp_path: Path) -> None:
    """
    A worker that hangs is replaced, without any request; connections waiting for it go
    to the next one.
    """
    with ours(tmp_path, "--workers=2") as server, ExitStack() as stack:
        hanging = server.workers[0]
        hanging.suspend()
        streams = [stack.enter_context(connected(server.port)) for _ in range(MANY)]
        for stream in streams:
            stream.sendall(b"hello")
        for stream in streams:
            assert stream.recv(100) == b"hello"
        server.waitFor(r"worker \d does not answer")
        assert not hanging.is_running()
        assert server.log.count("SIGKILL") == 1


@pytest.mark.oneWay
@pytest.mark.slow
def test_allStopped(tmp_path: Path) -> None:
    """
    If all processes are stopped, and go on, none is replaced.
    """
    with ours(tmp_path, "--workers=2") as server:
        for _ in range(3):
            for process in server.processes:
                process.suspend()
            time.sleep(15)
            for process in reversed(server.processes):
                process.resume()
            rules.halfClose(server.port, 1000, times=MANY)
        assert "SIGKILL" not in server.log


@pytest.mark.oneWay
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to change it")
@pytest.mark.parametrize("nodaemon", [["--nodaemon"], []])
def test_chroot(tmp_path: Path, nodaemon: list[str]) -> None:
    """
    Workers that cannot start in another root are found at once: one line, status 1.
    """
    (tmp_path / "root" / "dev").mkdir(parents=True)
    (tmp_path / "root" / "dev" / "null").touch()  # twistd itself needs it.
    words = ["--chroot=root", "--pidfile=", "echo", "-p0", "-i127.0.0.1", "--workers=2"]
    said = mistake(tmp_path, BIN / "twistd", *nodaemon, *words)
    why = "No such file or directory (errno 2); Python, echotwist and all files must be found in"
    assert said == f"echo: a worker cannot start: {sys.executable}: {why} root"


@pytest.mark.oneWay
@pytest.mark.parametrize("nodaemon", [["--nodaemon"], []])
def test_noModule(tmp_path: Path, nodaemon: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    So are those that do not find a module which the parent has found.
    """
    hiding = (
        "import sys\nif sys.argv[0] == '-c':\n    sys.modules['echotwist.workers.child'] = None\n"
    )
    (tmp_path / "sitecustomize.py").write_text(hiding)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said = mistake(tmp_path, BIN / "twistd", *nodaemon, "echo", "-p0", "--workers=2")
    assert said.startswith("echo: a worker cannot start: ")
    assert "echotwist" in said


@pytest.mark.oneWay
def test_longSettings(tmp_path: Path) -> None:
    """
    Settings may be longer than what an environment has room for, or a pipe.
    """
    prefix = "x" * 100_000
    waysIn = ["--port=0", *(f"--listen=unix:{number}" for number in range(99))]
    with ours(tmp_path, "--workers=2", f"--prefix={prefix}", waysIn=waysIn) as server:
        kill(server, server.workers[0])
        for _ in range(8):
            with connected(server.port) as stream:
                stream.sendall(b"hello\n")
                stream.endSending()
                assert readAll(stream) == prefix.encode() + b"hello\n"


@pytest.mark.oneWay
def test_folder(tmp_path: Path) -> None:
    """
    A worker runs nothing that lies in the folder where it was started.
    """
    for module in ("echotwist", "twisted", "attrs", "signal"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('this is not ours')")
    with ours(tmp_path, "--workers=2") as server:
        assert "not ours" not in server.log


def atStop(server: Server, send: Callable[[], None], number: int) -> None:
    """
    Send something that its workers only see when they have to stop.
    """
    for worker in server.workers:
        worker.suspend()
    send()
    server.signal(number)
    waitUntil(lambda: "shutting down" in server.log, "it stops")
    for worker in server.workers:
        worker.resume()


def test_backlog(tmp_path: Path) -> None:
    """
    Streams and datagrams that the kernel has taken already are served when the service
    stops.
    """
    with ours(tmp_path, "--workers=2") as server, ExitStack() as stack:
        streams: list[socket.socket] = []

        def send() -> None:
            streams.extend(stack.enter_context(connected(server.port)) for _ in range(MANY))
            streams.extend(stack.enter_context(asking(server.port)) for _ in range(MANY))
            for stream in streams:
                stream.sendall(b"hello")

        atStop(server, send, signal.SIGTERM)
        for stream in streams:
            assert stream.recv(100) == b"hello"
        assert server.wait() == 0


@pytest.mark.oneWay
@pytest.mark.parametrize("atOnce", [False, True])
def test_secondSignal(tmp_path: Path, atOnce: bool) -> None:
    """
    A second signal ends all at once, however soon it comes.
    """
    with ours(tmp_path, "--workers=2", "--drain=1000") as server, ExitStack() as stack:
        streams = [stack.enter_context(connected(server.port)) for _ in range(4)]
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda stream: offer(stream, 2**26), streams))
        if atOnce:
            sendAtOnce(server, signal.SIGTERM, signal.SIGINT)
        else:
            stopped(server)
            server.signal(signal.SIGTERM)
        assert server.wait() == 0
        for stream in streams:
            with pytest.raises(ConnectionResetError):
                readAll(stream)


@pytest.mark.oneWay
def test_hurried(tmp_path: Path) -> None:
    """
    A worker ends all at once when its parent says so, even if that comes before the
    signal to stop.
    """
    with ours(tmp_path, "--workers=2", "--drain=1000") as server, ExitStack() as stack:
        streams = [stack.enter_context(connected(server.port)) for _ in range(4)]
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda stream: offer(stream, 2**26), streams))
        server.process.suspend()  # it would soon kill a late worker
        for worker in server.workers:
            with open(f"/proc/{worker.pid}/fd/{COMMANDS}", "wb") as orders:
                orders.write(ABORT + b"\n")
            worker.terminate()
        for stream in streams:
            stream.settimeout(PATIENCE)
            with pytest.raises(ConnectionResetError):
                readAll(stream)
        server.process.resume()


@pytest.mark.oneWay
def test_stuck(tmp_path: Path) -> None:
    """
    The parent also ends a worker that does not listen.
    """
    with ours(tmp_path, "--workers=2", "--drain=1000") as server:
        server.workers[0].suspend()
        server.signal(signal.SIGTERM)
        waitUntil(lambda: len(server.workers) == 1, "the others have ended")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


@pytest.mark.oneWay
def test_stopEarly(tmp_path: Path) -> None:
    """
    A worker that is stopped while it starts serves waiting connections, and ends in
    order.
    """
    with ours(tmp_path, "--workers=2", "--no-udp") as server, ExitStack() as stack:
        killed = server.workers
        for worker in killed:
            worker.suspend()
        streams = [stack.enter_context(connected(server.port)) for _ in range(MANY)]
        for stream in streams:
            stream.sendall(b"hello")
        for worker in killed:
            worker.kill()
        waitUntil(lambda: len(set(server.workers) - set(killed)) == 2, "others are started")
        server.signal(signal.SIGTERM)
        for stream in streams:
            assert stream.recv(100) == b"hello"
        assert server.wait() == 0


@pytest.mark.oneWay
def test_orphans(tmp_path: Path) -> None:
    """
    When the parent is killed, the workers drain and end, and the port is free.
    """
    with ours(tmp_path, "--workers=2") as server, connected(server.port) as stream:
        workers = server.workers
        taken = offer(stream, 2**26)
        server.signal(signal.SIGKILL)
        stream.settimeout(60)
        assert len(readAll(stream)) == taken
        waitUntil(lambda: not any(map(psutil.Process.is_running, workers)), "all have ended")
        server.wait()
        with pytest.raises(ConnectionRefusedError):
            connected(server.port)


@pytest.mark.oneWay
def test_daemon(tmp_path: Path) -> None:
    """
    In the background there is one log, and one pid file, which names the
    parent and is removed when it is stopped.
    """
    words = ["echo", "--port=0", "--interface=127.0.0.1", "--workers=2"]
    run = subprocess.run(
        [BIN / "twistd", *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("", "")
    process = psutil.Process(int((tmp_path / "twistd.pid").read_text()))
    log = tmp_path / "twistd.log"
    try:
        waitUntil(lambda: "; 2 workers" in log.read_text(), "it serves")
        assert len(process.children()) == 2
        [port] = {c.laddr.port for c in process.net_connections() if c.laddr}
        rules.halfClose(port, 1000, times=MANY)
    finally:
        process.send_signal(signal.SIGTERM)
        waitUntil(lambda: not process.is_running(), "the daemon has ended")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["twistd.log"]
    assert log.read_text().count("echo on") == 1


@pytest.mark.oneWay
@pytest.mark.parametrize(
    "command",
    [
        ["twist", "--log-format=text", "echo", "--port=0", "--workers=2"],
        ["twistd", "--pidfile=", "-ny", "echo.tac"],
    ],
)
def test_otherWays(tmp_path: Path, command: list[str]) -> None:
    """
    ``twist`` and a tac file start the same service.
    """
    text = (ROOT / "deploy" / "echo.tac").read_text()
    text = text.replace("port=1234", "port=0").replace("workers=1", "workers=2")
    (tmp_path / "echo.tac").write_text(text)
    with Server([BIN / command[0], *command[1:]], tmp_path) as server:
        assert len(server.workers) == 2
        rules.halfClose(server.port, 1000, times=MANY)


@pytest.mark.oneWay
def test_verbose(tmp_path: Path) -> None:
    """
    Each log event of a worker is in the one log, with all its fields and the worker's
    name.
    """
    words = ["--log-format=json", "echo", "--port=0", "--workers=2", "-v"]
    with Server([BIN / "twist", *words], tmp_path) as server:
        rules.halfClose(server.port, 1000, times=1)
        line = server.waitFor('"bytes": 1000').string
    assert '"transport": "TCP"' in line
    assert '"log_system": "worker ' in line
    with ours(tmp_path, "--workers=2", "-v") as server:
        rules.halfClose(server.port, 1000, times=1)
        server.waitFor(r"\[worker \d#info\] TCP 127.0.0.1:\d+ closed: 1000 bytes in ")


def summed(watched: Watched, name: str, transport: str = "tcp") -> float:
    """
    Return one number of the page.
    """
    return watched.samples()[f"echotwist_{name}", transport]


@pytest.mark.oneWay
def test_metrics(tmp_path: Path) -> None:
    """
    One page sums all workers, and forgets nothing of one that has died.
    """
    watched = Watched(tmp_path, "--workers=3", "--max-per-peer=1000")
    with watched.server as server, ExitStack() as stack:
        streams = pinged(server, stack)
        for number in range(MANY):
            rules.askedAddress(server.port, f"127.0.0.{1 + number}")
        assert summed(watched, "connections_total") == MANY
        assert summed(watched, "active_connections") == MANY
        assert summed(watched, "received_bytes_total") == 5 * MANY
        assert summed(watched, "sent_datagrams_total", "udp") == MANY
        killed = workerOf(server, streams[0])
        lost = sum(workerOf(server, stream) == killed for stream in streams)
        kill(server, killed)
        assert summed(watched, "connections_total") == MANY
        assert summed(watched, "active_connections") == MANY - lost
        assert summed(watched, "sent_datagrams_total", "udp") == MANY
        pinged(server, stack)
        assert summed(watched, "connections_total") == 2 * MANY


@pytest.mark.oneWay
def test_lastWords(tmp_path: Path) -> None:
    """
    If a worker alone is stopped, it ends in order; nothing that it has counted is lost,
    even without a request before; and another takes its place.
    """
    watched = Watched(tmp_path, "--workers=2")
    with watched.server as server, ExitStack() as stack:
        streams = pinged(server, stack)
        stopped = workerOf(server, streams[0])
        stopped.terminate()
        server.waitFor("was ended|ended with status 0")
        server.waitFor("serves again")
        assert "SIG" not in server.log
        assert summed(watched, "connections_total") == MANY
        assert summed(watched, "drained_connections_total") > 0


@pytest.mark.oneWay
def test_metricsOfStuck(tmp_path: Path) -> None:
    """
    For a worker that does not answer, its last counters are used.
    """
    watched = Watched(tmp_path, "--workers=2")
    with watched.server as server, ExitStack() as stack:
        pinged(server, stack)
        assert summed(watched, "connections_total") == MANY
        for worker in server.workers:
            worker.suspend()
        assert summed(watched, "connections_total") == MANY
        for worker in server.workers:
            worker.resume()
        pinged(server, stack, 1)
        assert summed(watched, "connections_total") == MANY + 1


@pytest.mark.oneWay
def test_ready(tmp_path: Path) -> None:
    """
    It is ready while all workers serve, and healthy meanwhile.
    """
    watched = Watched(tmp_path, "--workers=2", "--drain=60")
    with watched.server as server, connected(server.port) as stream:
        ping(stream)
        serving = workerOf(server, stream)

        def isMissed() -> bool:
            for worker in set(server.workers) - {serving}:
                with suppress(psutil.NoSuchProcess):
                    worker.kill()
            return watched.page("/readyz") == (503, "starting\n")

        assert watched.page("/readyz") == (200, "ready\n")
        waitUntil(isMissed, "one is missed")
        waitUntil(lambda: watched.page("/readyz") == (200, "ready\n"), "it is back")
        taken = offer(stream, 2**26)
        server.signal(signal.SIGTERM)
        waitUntil(lambda: watched.page("/readyz") == (503, "stopping\n"), "it stops")
        assert watched.page("/healthz")[0] == 200
        assert summed(watched, "connections_total") == 1
        stream.settimeout(60)
        assert len(readAll(stream)) == taken
        assert server.wait() == 0


@pytest.mark.oneWay
@pytest.mark.parametrize("options", [[], ["--reuse"]])
@pytest.mark.parametrize("nodaemon", [["--nodaemon"], []])
def test_taken(tmp_path: Path, taken: int, nodaemon: list[str], options: list[str]) -> None:
    """
    A port that is in use gives one line and status 1.
    """
    words = ["echo", f"-p{taken}", "-i127.0.0.1", "--workers=2", *options]
    said = mistake(tmp_path, BIN / "twistd", *nodaemon, *words)
    assert f"TCP 127.0.0.1:{taken}: Address already in use (errno 98)" in said


@pytest.mark.oneWay
def test_notShared(tmp_path: Path) -> None:
    """
    The service shares its port with another only with ``--reuse``.
    """

    def command(port: int, *options: str) -> Sequence[str | Path]:
        words = ["-n", "--pidfile=", "echo", f"-p{port}", "--workers=2"]
        return [BIN / "twistd", *words, *options]

    with Server(command(0, "--reuse"), tmp_path) as server:
        assert "Address already in use" in mistake(tmp_path, *command(server.port))
        with Server(command(server.port, "--reuse"), tmp_path):
            rules.halfClose(server.port, 1000, times=MANY)


@pytest.mark.oneWay
@pytest.mark.parametrize("junk", ["0", "-1", "257", "1.5", "many", "", "Auto"])
def test_junk(tmp_path: Path, junk: str) -> None:
    """
    Anything but a number or ``auto`` gives one line and status 1.
    """
    said = mistake(tmp_path, BIN / "twistd", "echo", f"--workers={junk}")
    assert said == f"echo: --workers {junk}: not a whole number from 1 to 256, nor auto"


@pytest.mark.oneWay
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs sched_setaffinity")
def test_auto(tmp_path: Path) -> None:
    """
    ``auto`` is one worker for each core; on one core there is no need of any.
    """
    with ours(tmp_path, "--workers=auto") as server:
        assert len(server.workers) == (cores() if cores() > 1 else 0)
    with ours(tmp_path, "--workers=auto", limit="taskset -p -c 0 $$ >&2") as server:
        assert server.workers == []


#: The Python of the system, of the same version.
SYSTEM = Path(f"/usr/bin/python3.{sys.version_info.minor}")


def runsAsNobody(python: str | Path) -> bool:
    """
    Tell whether nobody may run this Python.
    """
    try:
        run = subprocess.run([python, "-c", ""], user="nobody", cwd="/", check=False)
    except OSError:
        return False
    return run.returncode == 0


def needed(name: str) -> set[str]:
    """
    Find what a distribution needs, in names of files and folders, as it does.
    """
    found = metadata.distribution(name)
    tops = {Path(str(file)).parts[0] for file in found.files or ()} - {"..", "__pycache__"}
    for requirement in found.requires or ():
        if ";" not in requirement:
            tops |= needed(re.split("[^A-Za-z0-9_.-]", requirement)[0])
    return tops


@pytest.fixture
def anybodys() -> Iterator[list[str | Path]]:
    """
    A ``twistd`` that everybody may read: in somebody's home, none may be.
    """
    if runsAsNobody(sys.executable):
        yield [BIN / "twistd"]
        return
    if not runsAsNobody(SYSTEM):
        pytest.skip("nobody may run Python")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        names = needed("Twisted") | needed("pyOpenSSL") | needed("service-identity")
        places = {name: Path(twisted.__file__).parent.parent / name for name in names}
        for name in ("echotwist", "twisted/plugins/echotwist_plugin.py"):
            places[name] = ROOT / name
        for name, place in places.items():
            copy = shutil.copytree if place.is_dir() else shutil.copy
            copy(place, Path(folder, name))
        run = "from twisted.scripts.twistd import run; run()"
        yield ["env", f"PYTHONPATH={folder}", SYSTEM, "-B", "-c", run]


@pytest.mark.oneWay
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")
def test_uid(tmp_path: Path, anybodys: list[str | Path]) -> None:
    """
    A low port is bound first; then no process has any privilege left, and a
    killed worker is back all the same.
    """
    port = lowPort()
    command: list[str | Path] = [*anybodys, "-n", "--pidfile=", "--uid=nobody"]
    with Server([*command, "echo", f"-p{port}", "--workers=2"], tmp_path) as server:
        kill(server, server.workers[0])
        rules.halfClose(port, 1000, times=MANY)
        nobody = pwd.getpwnam("nobody")
        for process in server.processes:
            assert set(process.uids()) == {nobody.pw_uid}
            assert set(process.gids()) == {nobody.pw_gid}
            status = Path(f"/proc/{process.pid}/status").read_text()
            for kind in ("CapEff", "CapPrm"):
                assert f"{kind}:\t{0:016x}" in status
        assert "runs as root" not in server.log


@pytest.mark.oneWay
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")
@pytest.mark.parametrize("nodaemon", [["--nodaemon"], []])
def test_closedKey(
    tmp_path: Path, anybodys: list[str | Path], certificate: Path, nodaemon: list[str]
) -> None:
    """
    A TLS key that its workers may not read is found at once: one line, status 1.
    """
    key, chain = certificate / "key.pem", certificate / "cert.pem"
    key.chmod(0o600)
    endpoint = f"ssl:0:privateKey={key}:certKey={chain}"
    words = ["--uid=nobody", "echo", f"--listen={endpoint}", "--workers=2"]
    said = mistake(tmp_path, *anybodys, *nodaemon, *words)
    assert said.startswith(f"echo: a worker cannot start: cannot listen on endpoint {endpoint}: ")
    assert f"{key}: Permission denied (errno 13)" in said
    assert "that user must be able to read Python, echotwist and the keys of TLS" in said


@pytest.mark.oneWay
def test_idle(tmp_path: Path, reactorName: str) -> None:
    """
    Neither the parent nor a worker wakes up while no client sends.
    """
    with ours(tmp_path, "--workers=2", reactor=reactorName) as server:
        assert len(server.processes) == 3
        rules.idle(server, connections=100, seconds=1)


@pytest.mark.oneWay
@pytest.mark.slow
def test_longIdle(tmp_path: Path) -> None:
    """
    They do not wake up in 10 s either.
    """
    with ours(tmp_path, "--workers=2") as server:
        rules.idle(server, connections=100, seconds=10)
