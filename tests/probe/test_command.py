"""
The probe as a program: how it ends, and what it says of what it may not do.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from echotwist.probe.command import run
from echotwist.probe.options import COMMANDS
from tests.support.live import PATIENCE, ROOT, ours, waitUntil
from tests.support.probing import PROGRAM, WELL, Misbehaving, measured, probe, reported, streams

#: Runs the probe, and presses ^C when it imports a module.
INTERRUPTED = """
import os, runpy, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), 2)
sys.meta_path.insert(0, Finder)
runpy.run_module("echotwist.probe", run_name="__main__")
"""


@pytest.mark.parametrize("module", ["echotwist.probe.command", "twisted.python.usage", "OpenSSL"])
def test_early(module: str) -> None:
    """
    ^C ends it without a word while it is still importing what it needs.
    """
    code = INTERRUPTED.format(module=module)
    words = [sys.executable, "-c", code, "tls:127.0.0.1:9", "--count=1", "--insecure"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, b"", b"")


#: Options of most commands that have no effect on some.
WITHOUT = {"idle": ("ca", "insecure", "flood"), "mtu": ("ca", "insecure")}


def test_withoutEffect() -> None:
    """
    An option is offered where it has an effect, and refused elsewhere.
    """
    for command, options in COMMANDS.items():
        known = {name.rstrip("=") for name in options().longOpt}
        wanted = {"ca", "insecure", "flood"} - {*WITHOUT.get(command, ())}
        isReader = command == "explain"
        assert known & {"ca", "insecure", "flood"} == (set() if isReader else wanted), command


#: Looks names up without end, as a resolver in C that no signal interrupts (a mutex that is
#: locked twice); ^C comes meanwhile.
LOOKING = """
import ctypes, os, runpy, socket, threading
lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)
def look(*words):
    threading.Timer(0.2, os.kill, (os.getpid(), 2)).start()
    lock(mutex)
    lock(mutex)
socket.getaddrinfo = look
runpy.run_module("echotwist.probe", run_name="__main__")
"""


def test_lookUp() -> None:
    """
    ^C does not wait for a name server.
    """
    words = [sys.executable, "-c", LOOKING, "udp:name.example", "--count=1"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, b"", b"")


def test_nohup() -> None:
    """
    SIGHUP that is ignored, as nohup(1) has it, ends nothing.
    """

    def count(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        did["came"] += 1
        return [(0, data)]

    with Misbehaving(count) as service:
        words = [*PROGRAM, service.target, "--rate=50", "--json", "--timeout=60"]
        shell = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *words]
        running = subprocess.Popen(shell, cwd=ROOT, stdout=subprocess.PIPE)
        waitUntil(lambda: service.did["came"] > 2, "it has sent")
        running.send_signal(signal.SIGHUP)
        before = service.did["came"]
        waitUntil(lambda: service.did["came"] > before + 5, "it has gone on")
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode in WELL
    assert json.loads(said)["results"][0]["back"] > 5


@pytest.mark.parametrize("kind", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "Permission denied (errno 13); ports below 1024 need root or"),
        (errno.EADDRINUSE, "Address already in use (errno 98); another program has it"),
    ],
)
def test_sourcePort(
    kind: str,
    number: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    A port to send from that this process may not have is told by its option.
    """

    class Socket(socket.socket):
        def bind(self, address: Any) -> None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", Socket)
    assert run([f"{kind}:127.0.0.1", "--source-port=80"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"echoprobe: {kind}:127.0.0.1:7: --source-port 80: {said}")


def test_otherFault() -> None:
    """
    A fault of the system that is not one of writing is not told as one.
    """
    words = [*PROGRAM, "udp:127.0.0.1:9", "--count=1"]
    # Too few for a reactor.
    shell = ["sh", "-c", 'ulimit -n 5; exec "$@"', "sh", *words]
    done = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stderr == "echoprobe: Too many open files (errno 24)\n"
    assert done.returncode == 4


def test_letters() -> None:
    """
    What the standard output has no letter for is written with a backslash.
    """
    words = [*PROGRAM, "udp:127.0.0.1:9", "--count=1", "--fail-if=p99>5µs"]
    done = subprocess.run(
        words,
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE,
        env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"},
    )
    assert (done.returncode, done.stderr) == (3, b"")
    assert rb"p99>5\xb5s: nothing to judge" in done.stdout


def test_prefix(tmp_path: Path) -> None:
    """
    It is said what a service puts before what it gives back, and only answers that this
    is in are damaged.
    """

    def serve(connection: socket.socket) -> None:
        while data := connection.recv(2**16):
            connection.sendall(b"You said : " + data)

    words = ("--count=6", "--rate=20", "--payload=zeros", "--seed=1", "--timeout=10")
    with ours(tmp_path, "--prefix=You said : ") as service, streams(serve) as stream:
        [udp, tcp] = reported(f"udp:127.0.0.1:{service.port}", stream, *words)["results"]
        said = probe(stream, *words[1:], "--count=1").stdout
        # Over TCP the service puts it before each line; the tenth number is an end of line.
        lines = measured(f"tcp:127.0.0.1:{service.port}", "--count=20", *words[1:])
    for found in (udp, tcp):
        assert (found["back"], found["damaged"], found["strange"]) == (6, 6, 0)
        assert found["damage"]["first"]["pattern"] == "11 bytes put before"
    assert "the service puts 'You said : ' before the answer" in said
    assert (lines["back"], lines["strange"]) == (20, 0)
    patterns = {one["pattern"] for one in lines["damage"]["patterns"]}
    assert "11 bytes put before each line" in patterns
    assert patterns <= {"11 bytes put before", "11 bytes put before each line"}


def test_noEcho() -> None:
    """
    It is said that a service is no echo.
    """

    def greet(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 4)
        connection.recv(100)

    def hello(did: Counter[str], number: int, data: bytes) -> list[tuple[float, bytes]]:
        return [(0, b"hello")]

    with streams(greet) as target:
        done = probe(target, "--count=1")
    assert "This is no echo: of no probe the bytes came back." in done.stdout
    with Misbehaving(hello) as service:
        done = probe(service.target, "--count=2", "--rate=20", "--timeout=0.3")
    assert done.returncode == 3
    assert "2 to no probe of ours" in done.stdout
    assert "This is no echo" in done.stdout
