"""
Streams on any of Twisted's endpoints.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import _parse, serverFromString
from twisted.internet.protocol import Factory
from zope.interface import directlyProvides, providedBy

from echotwist.addresses import Address, addressesOf
from echotwist.listeners import Listener
from echotwist.ports import Ports
from echotwist.settings import Settings
from echotwist.sockets import ListenError, openStream, prepareStream, reasonOfTLS, transportOf

_PROXY = "haproxy:"


class Entrance(Factory):
    """
    What an endpoint takes for the factory.

    :param otherwise: gives the real one, if it listens without our knowledge.
    :ivar factory: the real one, known when it is known what comes in here.
    """

    noisy = False
    factory: Any = None

    def __init__(self, otherwise: Callable[[], Any]) -> None:
        self._otherwise = otherwise

    def buildProtocol(self, addr: object) -> Any:
        """
        Have the real one make the protocol.
        """
        return (self.factory or self._otherwise()).buildProtocol(addr)


class EndpointReactor:
    """
    What an endpoint takes for the reactor.

    It makes our ports in place of Twisted's.  They have their sockets at once,
    and serve when the service starts.

    :param reactor: does all else.
    :param settings: what was chosen.
    :param text: the endpoint.
    :param ports: makes the ports.
    :param given: sockets to use, in place of new ones.
    :ivar listeners: what the endpoint listens on.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        text: str,
        ports: Ports,
        given: Iterator[socket.socket] | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._ports = ports
        self._given = given
        self._text = text.replace("\\0", "\0")
        try:
            self._words, self._named = _parse(self._text.removeprefix(_PROXY))
        except RuntimeError:
            why = OSError("the backslash at its end stands before nothing")
            raise ListenError("endpoint", self._text, why) from None
        self._kind = self._words[0].upper()
        self.entrance = Entrance(lambda: ports.factory(self._kind))
        self.listeners: list[Listener] = []
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """
        Make a port of TCP.
        """
        address = _addressOf(interface)
        return self._listen(factory, lambda: self._openStream(address, port, backlog))

    def listenSSL(
        self,
        port: int,
        factory: Any,
        contextFactory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> Any:
        """
        Make a port of TLS.
        """
        from echotwist.tls import overTLS

        return self.listenTCP(
            port, overTLS(contextFactory, factory, self._reactor), backlog, interface
        )

    def listenUNIX(
        self,
        address: str,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> Any:
        """
        Make a port of UNIX streams.
        """
        from echotwist.unixsocket import MODE, named, openUnix

        chosen = {
            "mode": mode if mode != 0o666 or self._saysMode() else MODE,
            "backlog": self._backlog(backlog),
        }
        name = named(os.fsdecode(address))
        return self._listen(factory, lambda: openUnix(name, socket.SOCK_STREAM, **chosen))

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """
        Make a port of a socket that listens already.
        """
        from echotwist.systemd import check

        def adopted() -> socket.socket:
            listener = socket.socket(fileno=os.dup(fileDescriptor))
            check(listener)
            if listener.type != socket.SOCK_STREAM:
                raise OSError("endpoints are for streams; --systemd takes both")
            listener.setblocking(False)
            if listener.family != socket.AF_UNIX:
                prepareStream(listener, self._settings.linger)
            return listener

        return self._listen(factory, adopted)

    def _listen(self, factory: Any, opener: Callable[[], socket.socket]) -> Any:
        opened = opener() if self._given is None else next(self._given)
        transport = "TLS" if _hasTLS(factory) else transportOf(opened)
        self.entrance.factory = self._ports.factory(transport)
        if self._text.startswith(_PROXY):
            from echotwist.proxy import ProxyFactory

            factory = ProxyFactory(factory, self.entrance.factory)
        port = self._ports.stream(opened, transport, factory)
        self.listeners.append(Listener(opened, transport, port))
        return port

    def _openStream(self, address: Address, port: int, backlog: int) -> socket.socket:
        return openStream(
            address,
            port,
            reuse=self._settings.reuse,
            backlog=self._backlog(backlog),
            linger=self._settings.linger,
        )

    def _backlog(self, said: int) -> int:
        return said if said != 50 or "backlog" in self._named else self._settings.backlog

    def _saysMode(self) -> bool:
        """
        Tell whether the text says a mode, which may just be Twisted's default.
        """
        return "mode" in self._named or (self._kind == "UNIX" and len(self._words) > 2)

    def _checkKey(self) -> None:
        """
        See that a key needs no pass phrase: nobody may be there to type it, for each
        process and each time that it starts.

        :raise ValueError: it does.
        """
        positional = self._words[2] if len(self._words) > 2 else "server.pem"
        path = Path(self._named.get("privateKey", positional))
        if path.is_file() and b"ENCRYPTED" in path.read_bytes():
            raise ValueError(f"{path} is encrypted; openssl pkey writes it as one that is not")

    def open(self) -> list[Listener]:
        """
        Have the endpoint listen.

        :raise ListenError: it does not.
        """
        try:
            if self._given is not None and self._kind == "SYSTEMD":
                # The descriptor was passed to our parent, which gave us this socket.
                port = self.adoptStreamPort(-1, socket.AF_UNSPEC, self.entrance)
            else:
                if self._kind == "SSL":
                    self._checkKey()
                port = listenAtOnce(self, self._text.removeprefix(_PROXY), self.entrance)
            if not self.listeners and self._text.startswith(_PROXY):
                port.stopListening()
                raise ValueError("it listens in a way of its own, which knows no PROXY header")
        except Exception as error:
            for listener in self.listeners:
                listener.close()
            raise endpointError(self._text, error) from None
        # Some listen without the reactor's help, on whatever they know.
        return self.listeners or [Listener(None, self._kind, port)]


def _hasTLS(factory: Any) -> bool:
    from twisted.protocols.policies import WrappingFactory

    if not isinstance(factory, WrappingFactory):
        return False
    try:
        from echotwist.tls import mend
    except ImportError:
        return False
    return mend(factory)


def _addressOf(interface: str) -> Address:
    if not interface:
        return Address(socket.AF_INET, "0.0.0.0")
    if interface == "::":
        return Address(socket.AF_INET6, "::", dual=True)
    found = addressesOf(interface)
    return min(found, key=lambda address: address.family != socket.AF_INET)


def listenAtOnce(reactor: Any, text: str, factory: Any) -> Any:
    """
    Listen on an endpoint, as Twisted's own do: at once.

    :return: the port.
    :raise Exception: whatever the endpoint says.
    """
    outcome: list[Any] = []
    server = maybeDeferred(serverFromString, reactor, text)
    server.addCallback(lambda found: found.listen(factory)).addBoth(outcome.append)
    [port] = outcome or [None]
    if hasattr(port, "raiseException"):
        port.raiseException()
    if not hasattr(port, "stopListening"):
        raise ValueError("it does not listen at once")
    return port


def endpointError(text: str, error: Exception, what: str = "endpoint") -> ListenError:
    """
    Say why an endpoint does not listen.

    :param what: it is for.
    """
    if isinstance(error, ListenError):
        return error
    cause: Any = getattr(error, "socketError", error)
    hint = ""
    if isinstance(error, LookupError) and "systemd:" in text:
        cause = OSError("no such socket was passed to this process")
        hint = "this endpoint finds none unless all have names; --systemd takes all as they are"
    elif isinstance(error, ImportError) and error.name == "OpenSSL":
        cause = OSError("TLS needs pyOpenSSL: pip install 'echotwist[tls]'")
    elif isinstance(error, TypeError) and "::" in text:
        hint = r"in an endpoint, colons of an address are written \:"
        cause = OSError(_words(error))
    elif isinstance(error, MemoryError):
        cause = OSError("pyOpenSSL needs memory that can be both written and executed")
        hint = "in a unit of systemd: MemoryDenyWriteExecute=no"
    elif isinstance(cause, OSError) and cause.filename:
        cause = OSError(cause.errno, f"{cause.filename}: {cause.strerror}")
    elif not isinstance(cause, OSError) or cause.errno is None:
        cause = OSError(_words(cause))
    return ListenError(what, text, cause, hint)


def _words(error: Exception) -> str:
    """
    Say what an endpoint raised.
    """
    if reason := reasonOfTLS(error):
        return f"OpenSSL finds fault with key, certificate or parameters (PEM): {reason}"
    # Of parameters that are missing or unknown, after the name of a function.
    return re.sub(r"^\w+\(\) ", "", str(error)) or type(error).__name__
