"""
The service as a library: in this process, on its reactor.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from twisted.application.service import Application, IService, MultiService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from echotwist import DatagramEcho, Echo, EchoService, ListenError, Settings


class Collector(Protocol):
    """
    Sends some bytes, half-closes and collects what comes until the end.
    """

    transport: Any

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._got: list[bytes] = []
        self.all: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        """
        Say everything.
        """
        self.transport.write(self._payload)
        self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        """
        Keep what comes.
        """
        self._got.append(data)

    def connectionLost(self, reason: object = None) -> None:
        """
        Return all of it.
        """
        self.all.callback(b"".join(self._got))


class Asker(DatagramProtocol):
    """
    Sends a datagram and waits for the reply.
    """

    transport: Any

    def __init__(self, port: int) -> None:
        self._port = port
        self.reply: Deferred[bytes] = Deferred()

    def startProtocol(self) -> None:
        """
        Ask.
        """
        self.transport.connect("127.0.0.1", self._port)
        self.transport.write(b"hello")

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """
        Take the reply.
        """
        self.reply.callback(datagram)


async def exchange(port: int, payload: bytes) -> bytes:
    """
    Return what comes back of a payload sent before a half-close.
    """
    from twisted.internet import reactor

    endpoint = HostnameEndpoint(reactor, "127.0.0.1", port)
    collector: Any = await connectProtocol(endpoint, Collector(payload))
    return bytes(await collector.all)


async def ask(port: int) -> bytes:
    """
    Return the reply to a datagram.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed
    asker = Asker(port)
    listening = reactor.listenUDP(0, asker, interface="127.0.0.1")
    reply = await asker.reply
    await listening.stopListening()
    return reply


@pytest_twisted.async_yield_fixture
async def service() -> AsyncIterator[EchoService]:
    """
    A service that runs in this process.
    """
    echo = EchoService(Settings(port=0, interfaces=["127.0.0.1"]))
    echo.startService()
    yield echo
    await echo.stopService()


@pytest_twisted.ensureDeferred
async def test_echo(service: EchoService) -> None:
    """
    Started, it echoes TCP and UDP on one number, which it tells.
    """
    tcp, udp = (port.getHost() for port in service.ports)
    assert (tcp.type, udp.type) == ("TCP", "UDP")
    assert tcp.port == udp.port
    assert await exchange(tcp.port, b"x" * 100_000) == b"x" * 100_000
    assert await ask(udp.port) == b"hello"


@pytest_twisted.ensureDeferred
async def test_again(service: EchoService) -> None:
    """
    Stopped, it releases everything; it can be started again.
    """
    number = service.ports[0].getHost().port
    await service.stopService()
    assert service.ports == []
    again = EchoService(Settings(port=number, interfaces=["127.0.0.1"]))
    again.startService()
    await again.stopService()
    service.startService()
    assert await exchange(service.ports[0].getHost().port, b"hello") == b"hello"


@pytest_twisted.ensureDeferred
async def test_neverStarted() -> None:
    """
    A service that was opened and never started releases its sockets too.
    """
    echo = EchoService(Settings(port=0))
    echo.privilegedStartService()
    await echo.stopService()


def test_portTaken(service: EchoService) -> None:
    """
    As a library it raises an error of its own; joining an application, which
    is what twistd runs, it ends the program with one line.
    """
    taken = Settings(port=service.ports[0].getHost().port, interfaces=["127.0.0.1"])
    with pytest.raises(ListenError, match=r"TCP 127.0.0.1.* Address already in use"):
        EchoService(taken).startService()
    EchoService(taken).setServiceParent(MultiService())
    application = Application("echo")
    with pytest.raises(SystemExit, match=r"^echo: cannot listen on TCP") as error:
        EchoService(taken).setServiceParent(application)
    assert isinstance(error.value.code, str)
    assert list(IService(application)) == []  # type: ignore[call-overload]


@pytest_twisted.ensureDeferred
async def test_plainClasses() -> None:
    """
    The protocols run on any of Twisted's ports.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed
    tcp = reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
    udp = reactor.listenUDP(0, DatagramEcho(), interface="127.0.0.1")
    assert await exchange(tcp.getHost().port, b"hello") == b"hello"
    assert await ask(udp.getHost().port) == b"hello"
    await tcp.stopListening()
    await udp.stopListening()


def test_imports() -> None:
    """
    Importing the package installs no reactor, and its plugin imports none of it.
    """
    for module, never in [
        ("echotwist", "twisted.internet.reactor"),
        ("twisted.plugins.echotwist_plugin", "echotwist"),
    ]:
        code = f"import sys, {module}; sys.exit({never!r} in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
