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
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.live import PATIENCE, Server, ours, waitUntil
from tests.support.metrics import Watched
from tests.support.peers import activated, failing, run, talking
from tests.support.rules import MIB

#: A user without privileges.
NOBODY = 65534

NOISE = random.Random(1970).randbytes(MIB)

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs UNIX sockets")


def abstract() -> str:
    """
    Return an abstract name that no other socket has.
    """
    return f"echotwist-{os.getpid()}-{secrets.token_hex(4)}"


def mode(path: Path) -> int:
    """
    Return the mode of a file.
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
    Tell whether a service answers at a path.
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
    A datagram from a socket without a name cannot be answered: it is counted, and
    logged once.
    """
    path = tmp_path / "echo"
    with serving(tmp_path, "datagram", path) as server:
        for _ in range(3):
            run("socat", "-u", "-", f"UNIX-SENDTO:{path}", say=b"hello")
        server.waitFor("UNIX datagram refused: unbound sender")
        assert answersAt(path, "datagram")
    assert server.log.count("unbound sender") == 1


# Other users.


@contextmanager
def asNobody() -> Iterator[None]:
    """
    Send and make files as a user without privileges (setresuid(2)).
    """
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@dataclass
class Place:
    """
    A folder that all may enter, with one that is nobody's, and a socket that is only
    root's.
    """

    folder: Path

    def __post_init__(self) -> None:
        self.echo = self.folder / "echo"
        self.mine, other = self.folder / "mine", self.folder / "other"
        self.folder.chmod(0o755)
        self.mine.mkdir()
        os.chown(self.mine, NOBODY, NOBODY)
        other.mkdir()
        self.precious = other / "s"
        self.victim = bound(self.precious)
        self.precious.chmod(0o600)

    def getsNothing(self) -> None:
        """
        Check that root's socket has got nothing.
        """
        with pytest.raises(BlockingIOError):
            self.victim.recv(100)


def bound(name: Path | bytes) -> socket.socket:
    """
    Make a datagram socket that has a name, and does not wait.
    """
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.bind(name if isinstance(name, bytes) else str(name))
    return opened


@pytest.fixture
def place() -> Iterator[Place]:
    """
    Such a folder, whose name is short.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user")
    with TemporaryDirectory() as folder:
        made = Place(Path(folder))
        with made.victim:
            yield made


def _lead(place: Place, how: str) -> None:
    """
    Lead the name of a socket of nobody's to that of root's.
    """
    path = place.mine / "s"
    path.unlink()
    if how == "symbolic link":
        path.symlink_to(place.precious)
    elif how == "link to the folder":
        place.mine.rename(place.mine.with_name("before"))
        place.mine.symlink_to(place.precious.parent)
    elif how == "hard link":
        os.link(place.precious, path)
    else:
        place.precious.rename(path)


@contextmanager
def _open(cwd: Path, place: Place, passed: bool, *options: str) -> Iterator[Watched]:
    """
    Start a service, on a socket of its own or of systemd's, to which all may send.
    """
    path = str(place.echo)

    def start(cwd: Path, *options: str) -> Server:
        if not passed:
            return ours(cwd, f"--unix-datagram={path}", *options)
        sockets = ["-d", f"-l{path}"]
        return activated(cwd, sockets, "--systemd", *options, first=first, place=path)

    with bound(place.folder / "first") as first:
        watched = Watched(cwd, *options, start=start)
        if passed:  # What is read when its sender has gone is refused, and counted.
            assert first.recv(100) == b"first"
    place.echo.chmod(0o666)
    with watched.server:
        yield watched


def _refused(watched: Watched) -> dict[str, float]:
    """
    Count the refusals, by reason.
    """
    samples = watched.samples().items()
    return {
        labels[1]: count
        for labels, count in samples
        if labels[0] == "echotwist_refused_total" and count and "unix-datagram" in labels
    }


def _areRefused(watched: Watched, count: int) -> bool:
    return sum(_refused(watched).values()) == count


@pytest.mark.oneWay
@pytest.mark.parametrize("kind", ["own", "workers", "systemd"])
def test_elsewhere(tmp_path: Path, place: Place, kind: str) -> None:
    """
    If a client of another user leads its name to root's socket, the service does not
    write there; the client is answered while the name is its own.
    """
    options = ["--workers=2"] if kind == "workers" else []
    with _open(tmp_path, place, kind == "systemd", *options) as watched:
        for count, how in enumerate(
            ["symbolic link", "hard link", "link to the folder", "renamed"], 1
        ):
            with asNobody():
                client = bound(place.mine / "s")
                client.sendto(b"hello", str(place.echo))
                client.settimeout(PATIENCE)
                assert client.recv(100) == b"hello"
            _lead(place, how)
            with asNobody():
                client.sendto(b"STOPPING=1", str(place.echo))
            waitUntil(partial(_areRefused, watched, count), "it is refused")
            place.getsNothing()
            client.close()
            if how == "link to the folder":
                place.mine.unlink()
                place.mine.with_name("before").rename(place.mine)
            else:
                (place.mine / "s").unlink()
        assert _refused(watched) == {"socket of another user": 3, "name of no socket": 1}


_SWAP = """
import os, sys
user, link, own, path, target = sys.argv[1:]
os.setuid(int(user))
while True:
    os.symlink(target, link)
    os.rename(link, path)
    os.link(own, link)
    os.rename(link, path)
"""


@pytest.mark.oneWay
def test_swapping(tmp_path: Path, place: Place) -> None:
    """
    The same holds for a client that puts a link and its own socket there in turns, all
    the time.
    """
    path, own = place.mine / "s", place.mine / "own"
    words: list[str | Path] = [str(NOBODY), place.mine / "link", own, path, place.precious]
    with _open(tmp_path, place, False) as watched:
        with asNobody():
            client = bound(path)
            os.link(path, own)
        swapping = subprocess.Popen([sys.executable, "-c", _SWAP, *words])
        with asNobody(), client:
            client.setblocking(True)
            for number in range(3000):
                client.sendto(b"%d" % number, str(place.echo))
                with suppress(BlockingIOError):
                    client.recv(100, socket.MSG_DONTWAIT)
        swapping.kill()
        swapping.wait()
        received = ("echotwist_received_datagrams_total", "unix-datagram")
        waitUntil(lambda: watched.samples()[received] == 3000, "all are handled")
        place.getsNothing()


@pytest.mark.oneWay
def test_takenName(tmp_path: Path, place: Place) -> None:
    """
    The same holds for a client whose abstract name is root's by the time of the reply.
    """
    name = f"\0{abstract()}".encode()
    with _open(tmp_path, place, False) as watched:
        watched.server.signal(signal.SIGSTOP)
        with asNobody(), bound(name) as client:
            client.sendto(b"STOPPING=1", str(place.echo))
        with bound(name) as victim:
            watched.server.signal(signal.SIGCONT)
            waitUntil(lambda: bool(_refused(watched)), "it is refused")
            with pytest.raises(BlockingIOError):
                victim.recv(100)
        assert _refused(watched) == {"socket of another user": 1}


@pytest.mark.oneWay
@pytest.mark.parametrize("options", [[], ["--workers=2"]], ids=str)
def test_ownSockets(tmp_path: Path, options: list[str]) -> None:
    """
    A name that leads to any socket of the service is refused at once: nothing goes
    round.
    """
    names = ["one", "two", "three"]
    listen = ["--unix-datagram=one", "--unix-datagram=two", "--listen=unix:three"]
    watched = Watched(tmp_path, *listen, *options)
    with watched.server as server:
        server.waitFor("echo on .*one")
        for name in names:
            with bound(tmp_path / f"my {name}") as client:
                (tmp_path / f"my {name}").unlink()
                os.link(tmp_path / name, tmp_path / f"my {name}")
                client.sendto(b"round", str(tmp_path / "one"))
        waitUntil(lambda: _refused(watched) == {"own socket as source": 3}, "they are refused")
        assert watched.samples()["echotwist_received_datagrams_total", "unix-datagram"] == 3
        assert watched.samples()["echotwist_sent_datagrams_total", "unix-datagram"] == 0


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
    The mode of an endpoint says who may use it.
    """
    path = tmp_path / "echo"
    with ours(tmp_path, f"--listen=unix:{path}:mode={chosen}", limit="umask 077"):
        assert mode(path) == int(chosen, 8)


def test_stale(tmp_path: Path, kind: str) -> None:
    """
    A socket that a killed service left is replaced.
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
    If a service runs at the path, another says so in one line, and does it no harm.
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
    A service that ends leaves the file of its successor alone.
    """
    path = tmp_path / "echo"
    with serving(tmp_path, kind, path) as before:
        path.unlink()
        with serving(tmp_path, kind, path):
            before.signal(signal.SIGTERM)
            assert before.wait() == 0
            assert answersAt(path, kind)
    assert not path.exists()
