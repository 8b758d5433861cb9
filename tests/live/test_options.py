"""
The options and the ways to start, as a person meets them.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.support import rules
from tests.support.live import BIN, ROOT, Server, ours, waitUntil
from tests.support.rules import asking, readAll
from tests.support.streams import connected


@pytest.mark.oneWay
def test_daemon(tmp_path: Path) -> None:
    """
    ``twistd echo`` returns to the shell when the service answers. It leaves a pid file
    and a log, and removes the pid file when it stops.
    """
    command: list[str | Path] = [BIN / "twistd", "echo", "--port=0", "--interface=127.0.0.1"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")
    pidFile = tmp_path / "twistd.pid"
    process = psutil.Process(int(pidFile.read_text()))
    try:
        [port] = {c.laddr.port for c in process.net_connections() if c.laddr}
        rules.halfClose(port, 1000, times=1)
        process.send_signal(signal.SIGHUP)  # which a daemon ignores
        rules.askedAddress(port, "127.0.0.1")
    finally:
        process.send_signal(signal.SIGTERM)
        waitUntil(lambda: not process.is_running(), "the daemon has ended")
    assert not pidFile.exists()
    assert f"echo on TCP 127.0.0.1:{port}" in (tmp_path / "twistd.log").read_text()


@pytest.mark.oneWay
def test_module(tmp_path: Path) -> None:
    """
    ``python -m echotwist`` is the service in the foreground, with the same options.
    """
    words = [sys.executable, "-m", "echotwist"]
    with Server([*words, "--port=0", "-i127.0.0.1"], tmp_path) as server:
        server.waitFor(f"echo on TCP 127.0.0.1:{server.port}, UDP 127.0.0.1:{server.port}$")
        rules.halfClose(server.port, 1000, times=1)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    assert not list(tmp_path.iterdir())
    told = subprocess.run([*words, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert told.stdout.startswith("Usage: python -m echotwist [options]\nOptions:\n")
    wrong = subprocess.run([*words, "-px"], cwd=tmp_path, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == "echo: --port x: not a whole number from 0 to 65535\n"


@pytest.mark.oneWay
@pytest.mark.parametrize(
    "command",
    [
        ["twist", "--log-format=text", "echo", "--port=0"],
        ["twistd", "--pidfile=", "-ny", "echo.tac"],
    ],
)
def test_otherWays(tmp_path: Path, command: list[str]) -> None:
    """
    ``twist`` and a tac file start the same service.
    """
    text = (ROOT / "deploy" / "echo.tac").read_text()
    (tmp_path / "echo.tac").write_text(text.replace("port=1234", "port=0"))
    with Server([BIN / command[0], *command[1:]], tmp_path) as server:
        rules.halfClose(server.port, 1000, times=1)
        rules.askedAddress(server.port, "127.0.0.2")


def test_portZero(server: Server) -> None:
    """
    With port 0 the log names the number, one for TCP and UDP.
    """
    server.waitFor(rf"echo on TCP \S+:{server.port}, UDP \S+:{server.port}$")


def test_interfaces(tmp_path: Path) -> None:
    """
    The service listens just where it is told to.
    """
    with ours(tmp_path, "-i127.0.0.2", "-i::1") as server:
        for host in ("127.0.0.2", "::1"):
            rules.askedAddress(server.port, host)
            connected(server.port, host).close()
        for host in ("127.0.0.1", "127.0.0.3"):
            with pytest.raises(ConnectionRefusedError):
                connected(server.port, host)


def test_networkInterface(tmp_path: Path) -> None:
    """
    A network interface's name binds to it.
    """
    with ours(tmp_path, "-ilo") as server:
        server.waitFor("TCP .* on lo")
        for host in ("127.0.0.1", "127.0.0.2", "::1"):
            rules.askedAddress(server.port, host)
            connected(server.port, host).close()


def test_reuse(tmp_path: Path) -> None:
    """
    With --reuse a second process shares the port; without it, it cannot.
    """
    with ours(tmp_path, "--reuse") as first:
        share = ["--nodaemon", "--pidfile=", "echo", f"-p{first.port}", "--reuse"]
        with Server([BIN / "twistd", *share], tmp_path) as second:
            seen = set()
            for _ in range(64):
                with asking(first.port) as client:
                    client.send(b"x")
                    assert client.recv(1) == b"x"
            rules.halfClose(first.port, 1000, times=64)
            seen = {first.port, second.port}
            assert seen == {first.port}
        alone = subprocess.run(
            [BIN / "twistd", *share[:-1]], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert alone.returncode == 1
        assert "Address already in use" in alone.stderr


def test_restart(tmp_path: Path) -> None:
    """
    A restart does not wait for TIME_WAIT, which the side that closes first has.
    """
    with ours(tmp_path) as server, connected(server.port) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        server.signal(signal.SIGTERM)
        server.wait()
        assert readAll(client) == b""
        with Server([BIN / "twistd", "-n", "--pidfile=", "echo", f"-p{server.port}"], tmp_path):
            pass


def test_lingerZero(tmp_path: Path) -> None:
    """
    ``--linger 0`` resets on close: the client sees a reset.
    """
    with ours(tmp_path, "--linger=0") as server, connected(server.port) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_lingerNeverBlocks(tmp_path: Path) -> None:
    """
    While closes wait for clients, others are served, to their end.
    """
    with ours(tmp_path, "--linger=60", "--no-udp") as server, ExitStack() as stack:
        slow = [stack.enter_context(connected(server.port)) for _ in range(20)]
        for client in slow:
            client.sendall(bytes(500_000))  # echoed into the kernel's buffers, and left there
            client.shutdown(socket.SHUT_WR)
        for _ in range(20):
            rules.halfClose(server.port, 1000, times=1)
        assert [len(readAll(client)) for client in slow] == [500_000] * 20
        waitUntil(lambda: rules.settled(server) > 0, "all is closed")


def test_lingerEnds(tmp_path: Path) -> None:
    """
    A client that does not take what is left in this time is reset.
    """
    with ours(tmp_path, "--linger=1", "--no-udp") as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect(("127.0.0.1", server.port))
        client.sendall(bytes(500_000))  # of which the client's kernel takes but a part
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1)  # the connection is the server's by now
        rules.settled(server)
        with pytest.raises(ConnectionResetError):
            readAll(client)


def test_verbose(tmp_path: Path) -> None:
    """
    With ``--verbose`` the service logs each connection and each datagram.
    """
    with ours(tmp_path, "--verbose") as server:
        with connected(server.port) as stream:
            peer = stream.getsockname()[1]
            stream.sendall(b"hello")
            stream.shutdown(socket.SHUT_WR)
            assert readAll(stream) == b"hello"
        server.waitFor(rf"TCP 127.0.0.1:{peer} closed: 5 bytes in \d\.\d+ s")
        with asking(server.port, "::1") as client:
            client.send(b"\n{spoofed}\n")
            server.waitFor(r"UDP \[::1\]:\d+ 11 bytes: '\\n\{spoofed\}\\n'")
        with connected(server.port) as stream:
            stream.sendall(b"hello")
            stream.reset()
        server.waitFor(r"TCP 127.0.0.1:\d+ lost: 5 bytes")


def test_quiet(server: Server) -> None:
    """
    Without it the service logs nothing about the clients that it serves.
    """
    said = len(server.lines)
    rules.halfClose(server.port, 1000, times=10)
    rules.askedAddress(server.port, "127.0.0.1")
    assert len(server.lines) == said
