"""
The service in an empty folder (chroot(2)), as a user without privileges.
"""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from OpenSSL.SSL import TLS1_3_VERSION

from tests.support.kinds import (
    DATAGRAMS,
    STREAMS,
    TLS,
    AbstractDatagram,
    DatagramKind,
    Kind,
    StreamKind,
)
from tests.support.live import PATIENCE, REACTORS, Server, ours, ownProtocol
from tests.support.rules import readAll
from tests.support.streams import connected

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, for chroot(2)"
)

#: What Python does when it starts: note each module that is to be imported once the
#: process is shut up.
_NOTE = """
import os, sys

notes = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
isShutUp = False
chroot = os.chroot

def shutUp(path):
    global isShutUp
    chroot(path)
    isShutUp = True

def note(event, words):
    if isShutUp and event == "import":
        os.write(notes, words[0].encode() + b"\\n")

os.chroot = shutUp
sys.addaudithook(note)
"""


class Jail:
    """
    A folder to confine a service to.

    :param folder: where there is room for it.
    :ivar limit: what has a service be started in it.
    """

    def __init__(self, folder: Path) -> None:
        jail = folder / "jail"
        (jail / "etc").mkdir(parents=True)
        # Twisted asks there for the groups of --uid.
        nobody = ":".join(map(str, pwd.getpwnam("nobody")))
        (jail / "etc" / "passwd").write_text(f"{nobody}\n")
        (folder / "sitecustomize.py").write_text(_NOTE)
        self._notes = folder / "notes"
        self.limit = (
            f"export PYTHONPATH={folder} NOTES={self._notes}; "
            f'program="$1"; shift; set -- "$program" --chroot={jail} --uid=nobody "$@"'
        )

    def check(self, server: Server) -> None:
        """
        Stop a service, and see that it was content with what it had.
        """
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "Traceback" not in server.log, server.log
        assert self._notes.read_text() == ""


@pytest.fixture
def jail(tmp_path: Path) -> Jail:
    """
    Make one.
    """
    return Jail(tmp_path)


def ask(kind: Kind, server: Server) -> None:
    """
    Check that a client of a kind is answered.
    """
    if isinstance(kind, DatagramKind):
        with kind.client(server) as client:
            client.send(b"hello")
            assert client.recv(100) == b"hello"
    elif isinstance(kind, StreamKind):
        with kind.connect(server) as stream:
            stream.sendall(b"hello")
            stream.shutdown(socket.SHUT_WR)
            assert readAll(stream) == b"hello"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*STREAMS, *DATAGRAMS], ids=lambda kind: kind.name)
def test_kinds(tmp_path: Path, jail: Jail, kind: Kind) -> None:
    """
    Each kind has all that it needs when its socket is open.
    """
    with kind.ours(tmp_path, "--verbose", limit=jail.limit) as server:
        ask(kind, server)
        jail.check(server)


@pytest.mark.oneWay
@pytest.mark.parametrize(
    "reactor",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "lean")) for name in REACTORS],
)
def test_everything(tmp_path: Path, jail: Jail, reactor: str) -> None:
    """
    So has a service of all kinds, whatever the reactor, with numbers for Prometheus.
    """
    tls, local = TLS("TLS", TLS1_3_VERSION), AbstractDatagram()
    others = [word for kind in (tls, local) for word in kind.options(tmp_path)]
    others += [
        "--listen=haproxy:tcp:0",
        f"--raw={ownProtocol()}",
        "--metrics=tcp:0:interface=127.0.0.1",
    ]
    if reactor != "lean":
        others.append("--portable")
    with ours(tmp_path, "-v", *others, reactor=reactor, limit=jail.limit) as server:
        for kind in (StreamKind(), DatagramKind(), local):
            ask(kind, server)
        said = server.waitFor("echo on .*")[0]
        ports = [int(port) for port in re.findall(r"(?:TCP|TLS) \S+:(\d+)", said)]
        for port, name in zip(ports, ("TCP", "TLS", "TCP", "haproxy"), strict=True):
            plain = connected(port)
            if name == "haproxy":
                plain.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n")
            with tls.greet(plain) if name == "TLS" else plain as stream:
                stream.sendall(b"hello")
                stream.shutdown(socket.SHUT_WR)
                assert readAll(stream) == b"hello"
        [metrics] = _listening(server) - set(ports)
        with urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=PATIENCE) as page:
            assert b'echotwist_connections_total{transport="tls"} 1.0' in page.read()
        with connected(ports[0]) as kept:
            kept.sendall(b"x")
            assert kept.recv(1) == b"x"
            jail.check(server)


def _listening(server: Server) -> set[int]:
    connections = server.process.net_connections("tcp")
    return {one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN}
