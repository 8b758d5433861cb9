"""
The service in a single process.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import islice
from socket import socket as Socket
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort
from zope.interface import implementer

from echotwist.listening.interfaces import IServing
from echotwist.listening.listeners import (
    Listener,
    Sockets,
    allOrNone,
    closeAll,
    openPlain,
    startAll,
    textOf,
)
from echotwist.listening.ports import Ports
from echotwist.listening.rules import Rules
from echotwist.listening.ways import kindsFor
from echotwist.reactors import IReactor
from echotwist.telemetry.counters import Counters

if TYPE_CHECKING:
    from echotwist.listening.endpoints import EndpointReactor


@frozen(eq=False)
class Given:
    """
    Sockets that are already open.

    :param plain: the sockets to serve as they are.
    :param endpoints: the sockets for endpoints, for each time that one listens.
    """

    plain: Sequence[Socket]
    endpoints: Sequence[Sequence[Socket]]

    @classmethod
    def of(cls, own: Sequence[Socket], shared: Sequence[Socket], sizes: Sequence[int]) -> Given:
        """
        Sort open sockets into plain ones and those for endpoints.

        :param own: the sockets of ``--port``.
        :param shared: all other sockets, with those for endpoints at the end.
        :param sizes: how many sockets an endpoint takes, for each time that one listens.
        """
        rest = iter(shared)
        plain = [*own, *islice(rest, len(shared) - sum(sizes))]
        return cls(plain, [list(islice(rest, size)) for size in sizes])


@implementer(IServing)
class Serving:
    """
    Serve in this process.

    :param sockets: the sockets that the settings ask for.
    :param rules: the rules for connections and datagrams.
    :param counters: the counters of each transport; this class adds those it needs.
    :param reactor: the reactor that runs the ports.
    :param giveUp: called with the reason, in words, when a port can no longer serve.
    :param given: open sockets to use in place of new ones.
    """

    isServing = True
    health = "healthy"

    def __init__(
        self,
        sockets: Sockets,
        rules: Rules,
        counters: list[Counters],
        reactor: IReactor,
        giveUp: Callable[[str], object],
        given: Given | None = None,
    ) -> None:
        self.listeners: list[Listener] = []
        self.ports: list[IListeningPort] = []
        self.usesInterfaces = False
        self.text = ""
        self._sockets = sockets
        self._drain = rules.streams.drain
        self._reactor = reactor
        self._given = given
        self._ports = Ports(rules, sockets.binding, counters, reactor, giveUp, *kindsFor(rules))
        self._draining: list[Any] = []
        self._isAborted = False

    def open(self) -> None:
        """
        Open all sockets, or none, and import the modules that serve them.

        :raise ListenError: for the first that cannot be opened.
        """
        with allOrNone() as opened:
            # Endpoints may take sockets from systemd; --systemd serves the rest.
            endpoints = self._openEndpoints()
            opened += listenersOf(endpoints)
            opened[:0] = self._openPlain()
            self._ports.load(opened)
        self.listeners, self.text = opened, textOf(opened)
        self.usesInterfaces = usesInterfaces(self._sockets, endpoints)

    def _openEndpoints(self) -> list[EndpointReactor]:
        given = None if self._given is None else self._given.endpoints
        return openEndpoints(self._sockets, self._ports, self._reactor, given)

    def _openPlain(self) -> list[Listener]:
        if self._given is None:
            return openPlain(self._sockets)
        return [Listener.of(one) for one in self._given.plain]

    def start(self) -> Deferred[None]:
        """
        Start serving.

        :return: fires when the reactor runs: an earlier signal would end the process
            without a drain.
        """
        opened, self.listeners = self.listeners, []
        self.ports = self._ports.on(opened)
        startAll(opened, self.ports)
        served: Deferred[None] = Deferred()
        self._reactor.callWhenRunning(served.callback, None)
        return served

    def add(self, opened: Sequence[Listener]) -> list[IListeningPort]:
        """
        Make ports for more sockets; they stop with the others.

        :return: the ports, which do not listen yet.
        """
        ports = self._ports.on(opened)
        self.ports += ports
        return ports

    def refresh(self) -> Deferred[None]:
        """
        Do nothing: the counters are always up to date.
        """
        return succeed(None)

    def checkAlive(self) -> None:
        """
        Do nothing: a process that runs this is alive.
        """

    @inlineCallbacks
    def stop(self) -> Generator[Deferred[Any], object, None]:
        """
        Stop listening, and echo bytes that have come and still come.

        :return: fires when nothing is left open.
        """
        closeAll(self.listeners)
        ports, self.ports, self.listeners = self.ports, [], []
        for port in ports:
            getattr(port, "handleRest", lambda: None)()
        # Ports that delay replies drain too.
        drained = [port for port in ports if hasattr(port, "drain")]
        self._draining = [*self._ports.factories.values(), *drained]
        rest = [port for port in ports if port not in drained]
        closed = gatherResults([maybeDeferred(port.stopListening) for port in rest])
        if self._isAborted:
            self.abort()
        yield closed
        yield gatherResults([one.drain(self._drain) for one in self._draining])

    def abort(self) -> None:
        """
        End the drain at once; if it has not begun, skip it.
        """
        self._isAborted = True
        for one in self._draining:
            one.abortAll()


def openEndpoints(
    sockets: Sockets,
    ports: Ports,
    reactor: IReactor,
    given: Iterable[Sequence[Socket]] | None = None,
) -> list[EndpointReactor]:
    """
    Let all endpoints listen, or none.

    :param given: open sockets for them, for each time that one listens, if there are any.
    :raise ListenError: for the first that cannot listen.
    """
    if not sockets.endpoints:
        return []
    # This import takes longer than all others.
    from echotwist.listening.endpoints import EndpointReactor

    left = None if given is None else iter(given)
    endpoints = []
    with allOrNone() as opened:
        for text in sockets.endpoints:
            one = EndpointReactor(reactor, sockets.binding, text, ports, sockets.endpoints, left)
            opened += one.open()
            endpoints.append(one)
    return endpoints


def listenersOf(endpoints: Iterable[EndpointReactor]) -> list[Listener]:
    """
    Return the listeners of endpoints.
    """
    return [one for endpoint in endpoints for one in endpoint.listeners]


def usesInterfaces(sockets: Sockets, endpoints: Iterable[EndpointReactor]) -> bool:
    """
    Tell whether ``--interface`` decides where some sockets are bound.
    """
    isBound = bool(sockets.transports) or sockets.raw is not None
    return isBound or any(endpoint.isAnywhere for endpoint in endpoints)
