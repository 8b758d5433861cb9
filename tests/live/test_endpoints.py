"""
All ways in at once, and endpoints that others bring.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support import rules
from tests.support.live import BIN, ROOT, Server, freePort, ours, ownProtocol, way
from tests.support.rules import readAll
from tests.support.streams import connected

needsRoot = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, for raw sockets"
)

_PLUGIN = """
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from twisted.protocols.policies import WrappingFactory
from zope.interface import implementer

class Wrapped:
    def __init__(self, endpoint):
        self.endpoint = endpoint
    def listen(self, factory):
        return self.endpoint.listen(WrappingFactory(WrappingFactory(factory)))

@implementer(IPlugin, IStreamServerEndpointStringParser)
class Parser:
    prefix = "wrapped"
    def parseStreamServer(self, reactor, port):
        return Wrapped(TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1"))

parser = Parser()
"""


def command() -> list[str]:
    """
    Return the command line of the documentation that has all ways in.
    """
    page = (ROOT / "docs" / "listen.rst").read_text("utf-8")
    [found] = re.findall(r"^    \$ (.*(?:\\\n.*)*--raw 253)$", page, re.MULTILINE)
    return shlex.split(found.replace("\\\n", ""))


@pytest.fixture
def everything(certificate: Path) -> Iterator[Server]:
    """
    The service on all ways in, from the documentation's command line; but on free ports.
    """
    free = {"1234": "0", "7777": "0", "/run/": "", "253": str(ownProtocol())}
    words = [re.sub("|".join(free), lambda found: free[found[0]], word) for word in command()[2:]]
    with Server([BIN / "twistd", "--pidfile=", *words, *way, "--verbose"], certificate) as server:
        yield server


@needsRoot
def test_everything(everything: Server, certificate: Path) -> None:
    """
    One process echoes on TCP, UDP, TLS, UNIX streams and datagrams, and raw IP.
    """
    payload = os.urandom(60_000)
    number = int(everything.waitFor(r"raw (\d+) ")[1])
    tls = int(everything.waitFor(r"TLS \S+:(\d+)")[1])
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    with ExitStack() as stack:
        streams = [
            stack.enter_context(connected(everything.port)),
            stack.enter_context(socket.socket(socket.AF_UNIX)),
            stack.enter_context(context.wrap_socket(connected(tls), server_hostname="localhost")),
        ]
        streams[1].connect(str(certificate / "echo.sock"))
        for stream in streams:
            stream.sendall(payload)
            got = b""
            while len(got) < len(payload):
                got += stream.recv(len(payload))
            assert got == payload
        local = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        local.bind(str(certificate / "client"))
        local.connect(str(certificate / "echo.dgram"))
        raw = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, number))
        raw.bind(("127.0.0.1", 0))
        raw.connect(("127.0.0.2", 0))
        udp = stack.enter_context(rules.asking(everything.port, "127.0.0.2"))
        for client, header in [(udp, 0), (local, 0), (raw, 20)]:
            client.settimeout(60)
            client.send(payload)
            assert client.recv(100_000)[header:] == payload
        for kind in ("UDP", "UNIX datagram", "raw"):
            everything.waitFor(rf"{kind} \S+ {len(payload)} bytes: ")


def test_plugin(tmp_path: Path) -> None:
    """
    An endpoint that a plugin brings keeps the promises, whatever it wraps around the echo.
    """
    folder = tmp_path / "twisted" / "plugins"
    folder.mkdir(parents=True)
    (folder / "wrapped.py").write_text(_PLUGIN)
    words = ["-n", "--pidfile=", "echo", "--listen", "wrapped:0", *way]
    path = f"export PYTHONPATH={tmp_path}"
    with Server([BIN / "twistd", *words], tmp_path, path) as server:
        for size in (0, 1, 100_000, rules.MIB):
            rules.halfClose(server.port, size, times=10)
        rules.backPressure(server, clients=1, growth=rules.MIB)


@pytest.mark.oneWay
@pytest.mark.parametrize("workers", [1, 2])
def test_interfaces(certificate: Path, workers: int) -> None:
    """
    Endpoints that name no interface listen where ``--interface`` says, and nowhere else.
    """
    tls = "ssl:0:privateKey=key.pem:certKey=cert.pem"
    where = ["-i127.0.0.2", "-i::1"]
    waysIn = ["--listen=tcp:0", "--listen", tls, "--listen=unix:echo.sock", *where]
    with ours(certificate, f"--workers={workers}", waysIn=waysIn) as server:
        assert server.waitFor(r"echo on TCP 127.0.0.2:\d+, TCP \[::1\]:\d+, TLS 127")
        number = int(server.waitFor(r"TLS \[::1\]:(\d+)")[1])
        for _ in range(4):
            for host in ("127.0.0.2", "::1"):
                rules.halfClose(partial(connected, server.port, host), 1000, times=1)
                connected(number, host).close()
        for port in (server.port, number):
            with pytest.raises(ConnectionRefusedError):
                connected(port, "127.0.0.1")


@pytest.mark.oneWay
def test_families(tmp_path: Path) -> None:
    """
    ``tcp`` has both families, as ``--port`` has; beside ``tcp6`` on its port, each has one.
    """
    port = freePort()
    for waysIn in ([f"--listen=tcp:{port}"], [f"--listen=tcp:{port}", f"--listen=tcp6:{port}"]):
        with ours(tmp_path, waysIn=waysIn):
            for host in ("127.0.0.1", "::1"):
                rules.halfClose(partial(connected, port, host), 1000, times=1)


def test_workers(certificate: Path) -> None:
    """
    Workers share all sockets but those of the port, and all connections are counted.
    """
    tls = "ssl:0:interface=127.0.0.1:privateKey=key.pem:certKey=cert.pem"
    words = ["echo", "--workers=2", "--listen", tls, "--listen=unix:echo.sock", *way]
    server = Server([BIN / "twistd", "-n", "--pidfile=", *words, "-p0", "--verbose"], certificate)
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    with server:
        number = int(server.waitFor(r"TLS \S+:(\d+)")[1])
        for _ in range(10):
            with context.wrap_socket(connected(number), server_hostname="localhost") as stream:
                stream.sendall(b"hello")
                assert stream.recv(10) == b"hello"
            with socket.socket(socket.AF_UNIX) as stream:
                stream.connect(str(certificate / "echo.sock"))
                stream.sendall(b"hello")
                stream.shutdown(socket.SHUT_WR)
                assert readAll(stream) == b"hello"
    assert (
        len([line for line in server.lines if "TLS 127.0.0.1" in line and "5 bytes" in line]) == 10
    )
    assert len([line for line in server.lines if "UNIX (unnamed) closed: 5" in line]) == 10
    assert not (certificate / "echo.sock").exists()
