"""
Listen for streams on any of Twisted's endpoints.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IOpenSSLContextFactory,
    IProtocolFactory,
)
from twisted.internet.protocol import Factory
from zope.interface import directlyProvides, providedBy

from echotwist.commandline.description import Description
from echotwist.listening.certificates import checkCertificates, checkIsFolder, checkKey
from echotwist.listening.endpointerrors import endpointError
from echotwist.listening.interfaces import IPortMaker
from echotwist.listening.listeners import Binding, Listener, closeAll
from echotwist.listening.places import addressesFor, namesInterface
from echotwist.sockets.addresses import Address
from echotwist.sockets.opening import (
    openAt,
    openStream,
    prepareStream,
    transportOf,
)


class DeferredFactory(Factory):
    """
    A factory that stands in for the real one until that is known.

    :param otherwise: makes the real factory, if the endpoint listens without our reactor.
    :ivar factory: the real factory, set when the transport is known.
    """

    noisy = False
    factory: Any = None

    def __init__(self, otherwise: Callable[[], Any]) -> None:
        self._otherwise = otherwise

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        Let the real factory make the protocol.
        """
        return (self.factory or self._otherwise()).buildProtocol(addr)


class EndpointReactor:
    """
    A reactor that stands in for the real one while an endpoint listens.

    It makes our ports in place of Twisted's.  They have their sockets at once,
    and serve when the service starts.

    :param reactor: the real reactor, which does everything else.
    :param binding: how to bind sockets, where the endpoint does not say.
    :param text: the description of the endpoint.
    :param ports: the maker of the ports.
    :param others: all endpoints of the service, to share one port among families.
    :param given: open sockets to use, for each time that the endpoint listens.
    :param what: the purpose of the endpoint, in a word.
    :ivar listeners: the listeners of the endpoint.
    :ivar sizes: how many listeners it got each time that it listened.
    :ivar isAnywhere: the endpoint names no interface, so ``--interface`` decides.
    """

    isAnywhere = False

    def __init__(
        self,
        reactor: Any,
        binding: Binding,
        text: str,
        ports: IPortMaker,
        others: Sequence[str] = (),
        given: Iterator[Sequence[socket.socket]] | None = None,
        what: str = "endpoint",
    ) -> None:
        self._reactor = reactor
        self._binding = binding
        self._others = others
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

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """
        Make the TCP ports: one, unless ``--interface`` names several interfaces and the
        endpoint none.

        :return: the first.
        """
        return self._listen(factory, lambda: self._openStreams(interface, port, backlog))

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: IOpenSSLContextFactory,
        backlog: int = 50,
        interface: str = "",
    ) -> IListeningPort:
        """
        Make a TLS port.
        """
        from echotwist.streams.tls import overTLS

        return self.listenTCP(
            port, overTLS(contextFactory, factory, self._reactor), backlog, interface
        )

    def listenUNIX(
        self,
        address: str,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> IListeningPort:
        """
        Make a port for UNIX streams.
        """
        from echotwist.sockets.unix import MODE, named, openUnix

        chosen = {
            "mode": mode if mode != 0o666 or self._saysMode() else MODE,
            "backlog": self._backlog(backlog),
        }
        name = named(os.fsdecode(address))
        return self._listen(factory, lambda: [openUnix(name, socket.SOCK_STREAM, **chosen)])

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> IListeningPort:
        """
        Make a port for a socket that already listens.
        """
        from echotwist.sockets.passed import check

        def adopted() -> list[socket.socket]:
            listener = socket.socket(fileno=os.dup(fileDescriptor))
            check(listener)
            if listener.type != socket.SOCK_STREAM:
                raise OSError("endpoints are for streams; --systemd takes both")
            listener.setblocking(False)
            if listener.family != socket.AF_UNIX:
                prepareStream(listener, self._binding.linger)
            return [listener]

        return self._listen(factory, adopted)

    def _listen(
        self, factory: IProtocolFactory, opener: Callable[[], Sequence[socket.socket]]
    ) -> IListeningPort:
        opened = opener() if self._given is None else next(self._given)
        transport = "TLS" if _hasTLS(factory) else transportOf(opened[0])
        owner = self.deferredFactory.factory = self._ports.factory(transport)
        if self._said.isProxied:
            from echotwist.streams.proxy import ProxyFactory

            factory = ProxyFactory(factory, owner)
        ports = [self._ports.stream(one, transport, factory) for one in opened]
        self.listeners += map(Listener, opened, [transport] * len(opened), ports)
        self.sizes.append(len(opened))
        return ports[0]

    def _openStreams(self, interface: str, port: int, backlog: int) -> list[socket.socket]:
        opener = partial(
            openStream,
            reuse=self._binding.reuse,
            backlog=self._backlog(backlog),
            linger=self._binding.linger,
        )
        return openAt(self._addresses(interface, port), port, [opener])

    def _addresses(self, interface: str, port: int) -> list[Address]:
        isNamed = namesInterface(self._said, interface)
        self.isAnywhere |= not isNamed
        words = None if isNamed else self._binding.interfaces
        return addressesFor(self._said, port, interface, words, self._others)

    def _backlog(self, said: int) -> int:
        isSaid = said != 50 or "backlog" in self._said.parameters
        return said if isSaid else self._binding.backlog

    def _saysMode(self) -> bool:
        """
        Tell whether the text gives a mode; without one, Twisted passes its default.
        """
        return "mode" in self._said.parameters

    def open(self) -> list[Listener]:
        """
        Let the endpoint listen.

        :raise ListenError: it cannot listen.
        """
        try:
            port = self._start()
            if not self.listeners and self._said.isProxied:
                port.stopListening()
                raise ValueError("this kind of endpoint cannot read a PROXY header")
        except Exception as error:
            closeAll(self.listeners)
            raise endpointError(self._text, error, self._what) from None
        # Some kinds of endpoints listen without this reactor.
        self.listeners = self.listeners or [Listener(None, self._kind, port)]
        return self.listeners

    def _start(self) -> IListeningPort:
        kind, parameters = self._said.kind, self._said.parameters
        if self._given is not None and kind == "systemd":
            # systemd passed the descriptor to our parent, which gave us this socket.
            return self.adoptStreamPort(-1, socket.AF_UNSPEC, self.deferredFactory)
        if kind == "ssl":
            checkKey(parameters.get("privateKey", "server.pem"))
        elif kind == "tls":
            checkIsFolder(parameters["path"])
        port = listenAtOnce(self, self._said.text, self.deferredFactory)
        if kind == "tls":
            checkCertificates(parameters["path"])
        return port


def _hasTLS(factory: IProtocolFactory) -> bool:
    from twisted.protocols.policies import WrappingFactory

    if not isinstance(factory, WrappingFactory):
        return False
    try:
        from echotwist.streams.tls import mend
    except ImportError:
        return False
    return mend(factory)


def listenAtOnce(reactor: Any, text: str, factory: IProtocolFactory) -> IListeningPort:
    """
    Listen on an endpoint at once, as Twisted's own endpoints do.

    :return: the port.
    :raise Exception: the error of the endpoint.
    """
    Description.of(text)
    outcome: list[Any] = []
    server = maybeDeferred(serverFromString, reactor, text)
    server.addCallback(lambda found: found.listen(factory)).addBoth(outcome.append)
    [port] = outcome or [None]
    if hasattr(port, "raiseException"):
        port.raiseException()
    if not hasattr(port, "stopListening"):
        raise ValueError("this kind of endpoint does not listen at once")
    return port  # type: ignore[no-any-return]
