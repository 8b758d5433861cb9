"""
UNIX sockets, as ``socat`` meets them, and their files.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.live import Server, ours
from tests.peers import failing, run, talking
from tests.rules import MIB

NOISE = random.Random(1970).randbytes(MIB)

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs UNIX sockets")


def abstract() -> str:
    """
    Give an abstract name that nobody else has.
    """
    return f"echotwist-{os.getpid()}-{secrets.token_hex(4)}"


def mode(path: Path) -> int:
    """
    Tell who may use a file.
    """
    return stat.S_IMODE(path.stat().st_mode)


#: Option, and the kind of socket that it makes at a path.
KINDS = {
    "stream": ("--listen=unix:{}", socket.SOCK_STREAM),
    "datagram": ("--unix-datagram={}", socket.SOCK_DGRAM),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """
    Streams and datagrams in turn.
    """
    return str(request.param)


def serving(cwd: Path, kind: str, path: Path, *options: str) -> Server:
    """
    Start a service at a path.
    """
    return ours(cwd, KINDS[kind][0].format(path), *options)


def answersAt(path: Path, kind: str) -> bool:
    """
    Tell whether somebody answers at a path.
    """
    with closing(socket.socket(socket.AF_UNIX, KINDS[kind][1])) as client:
        client.settimeout(10)
        if client.connect_ex(str(path)):
            return False
        if kind == "datagram":
            client.bind(f"\0{abstract()}")
        client.sendall(b"hello")
        return client.recv(100) == b"hello"


# What socat gets.


@pytest.mark.parametrize("payload", [b"", b"hello", NOISE], ids=["nothing", "hello", "1 MiB"])
def test_stream(tmp_path: Path, payload: bytes) -> None:
    """
    A client that sends its standard input and half-closes prints all of it.
    """
    path = tmp_path / "echo"
    with serving(tmp_path, "stream", path) as server:
        server.waitFor(f"echo on .*, UNIX {path}$")
        assert run("socat", "-t30", "-", f"UNIX-CONNECT:{path}", say=payload) == payload


@pytest.mark.parametrize("payload", [b"hello", NOISE], ids=["hello", "1 MiB"])
def test_abstractStream(tmp_path: Path, payload: bytes) -> None:
    """
    The same at an abstract name, which the log writes with ``@``.
    """
    name = abstract()
    with ours(tmp_path, rf"--listen=unix:\0{name}") as server:
        server.waitFor(f"echo on .*, UNIX @{name}$")
        assert run("socat", "-t30", "-", f"ABSTRACT-CONNECT:{name}", say=payload) == payload


@pytest.mark.parametrize("isAbstract", [False, True], ids=["path", "abstract"])
def test_datagram(tmp_path: Path, isAbstract: bool) -> None:
    """
    A client that is bound prints the datagrams that come back.
    """
    name = rf"\0{abstract()}" if isAbstract else str(tmp_path / "echo")
    kind = "ABSTRACT-SENDTO" if isAbstract else "UNIX-SENDTO"
    # What socat binds to is abstract as the name that it sends to is.
    mine = abstract() if isAbstract else tmp_path / "client"
    address = f"{kind}:{name[2:] if isAbstract else name},bind={mine}"
    with ours(tmp_path, f"--unix-datagram={name}") as server:
        server.waitFor("echo on .*, UNIX datagram [@/]")
        with talking("socat", "-b65536", "-", address) as (stdin, stdout):
            for payload in (b"hello", NOISE[:60_000]):
                # A write to a pipe that takes it at once is one read for socat.
                stdin.write(payload)
                stdin.flush()
                assert stdout.read(len(payload)) == payload


def test_unboundSender(tmp_path: Path) -> None:
    """
    Who has no name cannot be answered: that is counted, and told once.
    """
    path = tmp_path / "echo"
    with serving(tmp_path, "datagram", path) as server:
        for _ in range(3):
            run("socat", "-u", "-", f"UNIX-SENDTO:{path}", say=b"hello")
        server.waitFor("UNIX datagram refused: unbound sender")
        assert answersAt(path, "datagram")
    assert server.log.count("unbound sender") == 1


# Files.


def test_file(tmp_path: Path, kind: str) -> None:
    """
    Owner and group may use the socket, whatever the umask; its file goes when
    the service does.
    """
    path = tmp_path / "echo"
    with ours(tmp_path, KINDS[kind][0].format(path), limit="umask 0") as server:
        server.waitFor("echo on")
        assert mode(path) == 0o660
        assert answersAt(path, kind)
    assert not path.exists()


@pytest.mark.parametrize("chosen", ["600", "666"])
def test_mode(tmp_path: Path, chosen: str) -> None:
    """
    An endpoint may say who may use it.
    """
    path = tmp_path / "echo"
    with ours(tmp_path, f"--listen=unix:{path}:mode={chosen}", limit="umask 077"):
        assert mode(path) == int(chosen, 8)


def test_stale(tmp_path: Path, kind: str) -> None:
    """
    What a service left that was killed is replaced.
    """
    path = tmp_path / "echo"
    with serving(tmp_path, kind, path) as server:
        server.process.kill()
        server.wait()
    assert path.is_socket()
    with serving(tmp_path, kind, path):
        assert answersAt(path, kind)
    assert not path.exists()


def test_living(tmp_path: Path, kind: str) -> None:
    """
    Where a service lives another says so in one line, and does it no harm.
    """
    path = tmp_path / "echo"
    with serving(tmp_path, kind, path):
        line = failing(tmp_path, KINDS[kind][0].format(path))
        assert re.fullmatch(
            rf"echo: cannot listen on UNIX\S* ?\w* {path}: Address already in use "
            r"\(errno \d+\); another program listens there",
            line,
        ), line
        assert answersAt(path, kind)
        assert mode(path) == 0o660
    assert not path.exists()


def test_noSocket(tmp_path: Path, kind: str) -> None:
    """
    A file that is no socket is left as it is, and is an error.
    """
    path = tmp_path / "precious"
    path.write_text("precious")
    line = failing(tmp_path, KINDS[kind][0].format(path))
    assert "a file that is no socket has that name" in line
    assert path.read_text() == "precious"


def test_successor(tmp_path: Path, kind: str) -> None:
    """
    A service that ends leaves alone the file of who came after it.
    """
    path = tmp_path / "echo"
    with serving(tmp_path, kind, path) as before:
        path.unlink()
        with serving(tmp_path, kind, path):
            before.signal(signal.SIGTERM)
            assert before.wait() == 0
            assert answersAt(path, kind)
    assert not path.exists()
