"""
Streams on any of Twisted's endpoints.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from zope.interface import directlyProvides, providedBy

from echotwist.listening.description import Description
from echotwist.listening.listeners import Listener
from echotwist.listening.ports import IPortMaker
from echotwist.settings import Settings
from echotwist.sockets.addresses import Address, addressesOf, half
from echotwist.sockets.errors import ListenError, reasonOfTLS
from echotwist.sockets.opening import findAll, openAt, openStream, prepareStream, transportOf

#: The kind of endpoints of IPv6 alone, where there is another for IPv4.
_SIX = "tcp6"

#: What is missing without the extra; the latter is Twisted's word for it.
_OF_TLS = ("OpenSSL", "SNIConnectionCreator")


class DeferredFactory(Factory):
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
    :param given: sockets to use, in place of new ones: those of each time that it listens.
    :param what: the endpoint is for.
    :ivar listeners: what the endpoint listens on.
    :ivar sizes: how many of them it got each time that it listened.
    :ivar isAnywhere: it names no interface, so that it listens where the settings say.
    """

    isAnywhere = False

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        text: str,
        ports: IPortMaker,
        given: Iterator[Sequence[socket.socket]] | None = None,
        what: str = "endpoint",
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._ports = ports
        self._given = given
        self._what = what
        self._text = text
        try:
            self._said = Description.of(text)
        except ValueError as error:
            raise endpointError(text, error, what) from None
        self._kind = self._said.kind.upper()
        self.deferredFactory = DeferredFactory(lambda: ports.factory(self._kind))
        self.listeners: list[Listener] = []
        self.sizes: list[int] = []
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """
        Make the ports of TCP: one, unless the settings name several interfaces, and
        the endpoint none.

        :return: the first.
        """
        return self._listen(factory, lambda: self._openStreams(interface, port, backlog))

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
        from echotwist.streams.tls import overTLS

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
        from echotwist.sockets.unix import MODE, named, openUnix

        chosen = {
            "mode": mode if mode != 0o666 or self._saysMode() else MODE,
            "backlog": self._backlog(backlog),
        }
        name = named(os.fsdecode(address))
        return self._listen(factory, lambda: [openUnix(name, socket.SOCK_STREAM, **chosen)])

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """
        Make a port of a socket that listens already.
        """
        from echotwist.sockets.passed import check

        def adopted() -> list[socket.socket]:
            listener = socket.socket(fileno=os.dup(fileDescriptor))
            check(listener)
            if listener.type != socket.SOCK_STREAM:
                raise OSError("endpoints are for streams; --systemd takes both")
            listener.setblocking(False)
            if listener.family != socket.AF_UNIX:
                prepareStream(listener, self._settings.linger)
            return [listener]

        return self._listen(factory, adopted)

    def _listen(self, factory: Any, opener: Callable[[], Sequence[socket.socket]]) -> Any:
        opened = opener() if self._given is None else next(self._given)
        transport = "TLS" if _hasTLS(factory) else transportOf(opened[0])
        self.deferredFactory.factory = self._ports.factory(transport)
        if self._said.isProxied:
            from echotwist.streams.proxy import ProxyFactory

            factory = ProxyFactory(factory, self.deferredFactory.factory)
        ports = [self._ports.stream(one, transport, factory) for one in opened]
        self.listeners += map(Listener, opened, [transport] * len(opened), ports)
        self.sizes.append(len(opened))
        return ports[0]

    def _openStreams(self, interface: str, port: int, backlog: int) -> list[socket.socket]:
        opener = partial(
            openStream,
            reuse=self._settings.reuse,
            backlog=self._backlog(backlog),
            linger=self._settings.linger,
        )
        return openAt(self._addresses(interface, port), port, [opener])

    def _addresses(self, interface: str, port: int) -> list[Address]:
        """
        Find where to listen: at the interface that the endpoint names, or else at
        those of ``--interface``, or else everywhere.

        ``tcp6`` leaves IPv4 to other endpoints of the same port, and they leave IPv6
        to it.

        :raise OSError: nowhere.
        """
        isSix = self._said.kind == _SIX
        family = socket.AF_INET6 if isSix else socket.AF_INET
        isHalf = any((one.kind == _SIX) != isSix for one in _withPort(port, self._settings.listen))
        if self._namesInterface(interface):
            found = _addressesOf(interface)
        else:
            self.isAnywhere = True
            found = findAll(self._settings.interfaces, port, ["TCP"])
            if isSix or isHalf:
                found = [one for one in found if one.dual or one.family == family]
        if not found:
            version = 6 if isSix else 4
            raise OSError(f"no --interface has an IPv{version} address")
        return [half(one, family) for one in found] if isHalf else found

    def _namesInterface(self, interface: str) -> bool:
        if self._said.kind in (_SIX, "tls"):  # Twisted names one for them.
            return "interface" in self._said.parameters
        return bool(interface)

    def _backlog(self, said: int) -> int:
        isSaid = said != 50 or "backlog" in self._said.parameters
        return said if isSaid else self._settings.backlog

    def _saysMode(self) -> bool:
        """
        Tell whether the text says a mode, which may just be Twisted's default.
        """
        return "mode" in self._said.parameters

    def _checkKey(self) -> None:
        """
        See that a key needs no pass phrase: nobody may be there to type it, for each
        process and each time that it starts.

        :raise ValueError: it does.
        """
        path = Path(self._said.parameters.get("privateKey", "server.pem"))
        if path.is_file() and b"ENCRYPTED" in path.read_bytes():
            raise ValueError(f"{path} is encrypted; openssl pkey writes it as one that is not")

    def _checkFolder(self, path: str) -> None:
        """
        See that there is a certificate to choose.

        :raise ValueError: there is none.
        """
        if not any(name.endswith(".pem") for name in os.listdir(path)):
            raise ValueError("there is no certificate with its key (PEM) in that folder")

    def open(self) -> list[Listener]:
        """
        Have the endpoint listen.

        :raise ListenError: it does not.
        """
        try:
            if self._given is not None and self._kind == "SYSTEMD":
                # The descriptor was passed to our parent, which gave us this socket.
                port = self.adoptStreamPort(-1, socket.AF_UNSPEC, self.deferredFactory)
            else:
                if self._said.kind == "ssl":
                    self._checkKey()
                elif self._said.kind == "tls" and not os.path.isdir(self._said.parameters["path"]):
                    raise ValueError("there is no such folder of certificates and keys (PEM)")
                port = listenAtOnce(self, self._said.text, self.deferredFactory)
                if self._said.kind == "tls":
                    self._checkFolder(self._said.parameters["path"])
            if not self.listeners and self._said.isProxied:
                port.stopListening()
                raise ValueError("it listens in a way of its own, which knows no PROXY header")
        except Exception as error:
            for listener in self.listeners:
                listener.close()
            raise endpointError(self._text, error, self._what) from None
        # Some listen without the reactor's help, on whatever they know.
        return self.listeners or [Listener(None, self._kind, port)]


def _hasTLS(factory: Any) -> bool:
    from twisted.protocols.policies import WrappingFactory

    if not isinstance(factory, WrappingFactory):
        return False
    try:
        from echotwist.streams.tls import mend
    except ImportError:
        return False
    return mend(factory)


def _addressesOf(interface: str) -> list[Address]:
    if interface == "::":
        return [Address(socket.AF_INET6, "::", dual=True)]
    found = addressesOf(interface)
    return [min(found, key=lambda address: address.family != socket.AF_INET)]


def _withPort(port: int, texts: Iterable[str]) -> Iterator[Description]:
    """
    Find the endpoints that have a number for their own, as those of port 0 have.
    """
    for text in texts if port else ():
        with suppress(ValueError):  # It will be told in its turn.
            one = Description.of(text)
            if one.port == port:
                yield one


def listenAtOnce(reactor: Any, text: str, factory: Any) -> Any:
    """
    Listen on an endpoint, as Twisted's own do: at once.

    :return: the port.
    :raise Exception: whatever the endpoint says.
    """
    Description.of(text)
    outcome: list[Any] = []
    server = maybeDeferred(serverFromString, reactor, text)
    server.addCallback(lambda found: found.listen(factory)).addBoth(outcome.append)
    [port] = outcome or [None]
    if hasattr(port, "raiseException"):
        port.raiseException()
    if not hasattr(port, "stopListening"):
        raise ValueError("it does not listen at once")
    return port


def endpointError(text: str, error: Exception, what: str) -> ListenError:
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
    elif isinstance(error, ImportError | NameError) and error.name in _OF_TLS:
        cause = OSError("TLS needs pyOpenSSL: pip install 'echotwist[tls]'")
    elif isinstance(error, ValueError) and "::" in text:
        hint = r"in an endpoint, colons of an address are written \:"
        cause = OSError(_reasonOf(error))
    elif isinstance(error, MemoryError):
        cause = OSError("pyOpenSSL needs memory that can be both written and executed")
        hint = "in a unit of systemd: MemoryDenyWriteExecute=no"
    elif isinstance(cause, OSError) and cause.filename:
        cause = OSError(cause.errno, f"{cause.filename}: {cause.strerror}")
    elif not isinstance(cause, OSError) or cause.errno is None:
        cause = OSError(_reasonOf(cause))
    return ListenError(what, text, cause, hint)


def _reasonOf(error: Exception) -> str:
    """
    Say what an endpoint raised.
    """
    if reason := reasonOfTLS(error):
        return f"OpenSSL finds fault with key, certificate or parameters (PEM): {reason}"
    # Of parameters that are missing or unknown, after the name of a function.
    return re.sub(r"^\w+\(\) ", "", str(error)) or type(error).__name__
