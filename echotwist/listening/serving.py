"""
One process serves.
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
from echotwist.recovery import IReactor
from echotwist.telemetry.counters import Counters

if TYPE_CHECKING:
    from echotwist.listening.endpoints import EndpointReactor


@frozen(eq=False)
class Given:
    """
    Sockets that are open already.

    :param plain: those to serve as they are.
    :param endpoints: those for endpoints, for each time that one listens.
    """

    plain: Sequence[Socket]
    endpoints: Sequence[Sequence[Socket]]

    @classmethod
    def of(cls, own: Sequence[Socket], shared: Sequence[Socket], sizes: Sequence[int]) -> Given:
        """
        Deal them out.

        :param own: those of ``--port``.
        :param shared: all others.
        :param sizes: the last of these belong to endpoints: how many for each time
            that one listens.
        """
        rest = iter(shared)
        plain = [*own, *islice(rest, len(shared) - sum(sizes))]
        return cls(plain, [list(islice(rest, size)) for size in sizes])


@implementer(IServing)
class Serving:
    """
    Serve in this process.

    :param sockets: those asked for.
    :param rules: for what comes in.
    :param counters: those of each transport; more are added as they are needed.
    :param reactor: runs the ports.
    :param giveUp: is told, in words, that a port can serve no more.
    :param given: sockets to take, in place of new ones.
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
        Open all sockets, or none, and import what serves them.

        :raise ListenError: for the first that cannot be opened.
        """
        with allOrNone() as opened:
            # Endpoints may take sockets of systemd's; the rest is for --systemd.
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
        Begin to serve.

        :return: fires when the reactor runs: an earlier signal would end it without a
            drain.
        """
        opened, self.listeners = self.listeners, []
        self.ports = self._ports.on(opened)
        startAll(opened, self.ports)
        served: Deferred[None] = Deferred()
        self._reactor.callWhenRunning(served.callback, None)
        return served

    def add(self, opened: Sequence[Listener]) -> list[IListeningPort]:
        """
        Make ports of more sockets; they stop with the others.

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
        Do nothing: this process lives, as it asks.
        """

    @inlineCallbacks
    def stop(self) -> Generator[Deferred[Any], object, None]:
        """
        Listen no more, and give back what has come and still comes.

        :return: fires when nothing is left open.
        """
        closeAll(self.listeners)
        ports, self.ports, self.listeners = self.ports, [], []
        for port in ports:
            getattr(port, "handleRest", lambda: None)()
        # Ports that delay replies drain as well.
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
    Have all endpoints listen, or none.

    :param given: sockets for them, for each time that one listens, if they are open already.
    :raise ListenError: for the first that does not.
    """
    if not sockets.endpoints:
        return []
    # This takes longer to import than everything else.
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
    Give what endpoints listen on.
    """
    return [one for endpoint in endpoints for one in endpoint.listeners]


def usesInterfaces(sockets: Sockets, endpoints: Iterable[EndpointReactor]) -> bool:
    """
    Tell whether some sockets are bound where ``--interface`` says.
    """
    isBound = bool(sockets.transports) or sockets.raw is not None
    return isBound or any(endpoint.isAnywhere for endpoint in endpoints)
