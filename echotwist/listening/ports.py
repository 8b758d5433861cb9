"""
Make the port that serves a socket, and for streams the factory of the echoes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from zope.interface import implementer

from echotwist.datagrams.guard import Guard, IDatagramGuard, RawGuard, UnixGuard
from echotwist.datagrams.port import DatagramPort
from echotwist.echo import DatagramEcho
from echotwist.listening.interfaces import IPortMaker
from echotwist.listening.listeners import Binding, Listener
from echotwist.listening.rules import Rules
from echotwist.listening.ways import echoesFor, lighten, portFor
from echotwist.reactors import IReactor
from echotwist.sockets.access import Access
from echotwist.sockets.addresses import placeOf
from echotwist.sockets.options import roomForConnections, roomForScrapers
from echotwist.streams.connection import Connection, lingering
from echotwist.streams.factory import EchoFactory
from echotwist.streams.limits import Limits
from echotwist.streams.port import StreamPort
from echotwist.streams.unix import UnixPort
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.log import RateLimitedLog


@implementer(IPortMaker)
class Ports:
    """
    Make the ports of a service.

    :param rules: the rules for connections and datagrams.
    :param binding: how the sockets are bound.
    :param counters: the counters of each transport; this class adds those it needs.
    :param reactor: the reactor that runs the ports.
    :param giveUp: called with the reason, in words, when a port can no longer serve.
    :param connection: the class of connections.
    :param udpPort: the class of UDP ports.
    :ivar factories: the factories of streams, by transport.
    """

    def __init__(
        self,
        rules: Rules,
        binding: Binding,
        counters: list[Counters],
        reactor: IReactor,
        giveUp: Callable[[str], object],
        connection: type[Connection] = Connection,
        udpPort: type[DatagramPort] = DatagramPort,
    ) -> None:
        self._rules = rules
        self._backlog = binding.backlog
        self._counters = counters
        self._reactor = reactor
        self._giveUp = giveUp
        isOpen = not (rules.allow or rules.deny)
        self._access = None if isOpen else Access(rules.allow, rules.deny)
        self._limits = Limits(None, rules.streams.maxPerPeer or None, self._access)
        self._limitedLogs: dict[str, RateLimitedLog] = {}
        self.factories: dict[str, EchoFactory] = {}
        self._udpPort = udpPort
        self._makeFactory = echoesFor(rules)
        self._connection = connection
        if binding.linger is not None:
            self._connection = lingering(binding.linger, connection)

    def limitedLog(self, transport: str) -> RateLimitedLog:
        """
        Return the log of a transport, which also counts.
        """
        if transport not in self._limitedLogs:
            known = [one for one in self._counters if one.transport == transport]
            if not known:
                known = [Counters(transport)]
                self._counters += known
            self._limitedLogs[transport] = RateLimitedLog(known[0])
        return self._limitedLogs[transport]

    def factory(self, transport: str) -> EchoFactory:
        """
        Return the factory for the streams of a transport.
        """
        if transport not in self.factories:
            self.factories[transport] = self._makeFactory(
                prefix=self._rules.prefix,
                verbose=self._rules.verbose,
                limits=self._limits,
                stallTimeout=self._rules.streams.stallTimeout,
                idleTimeout=self._rules.streams.idleTimeout,
                limitedLog=self.limitedLog(transport),
                reactor=self._reactor,
            )
        return self.factories[transport]

    def stream(
        self, listener: socket.socket, transport: str, factory: IProtocolFactory
    ) -> StreamPort:
        """
        Make the port for a listening socket.

        :param factory: makes the protocols.
        """
        limitedLog = self.limitedLog(transport)
        port = portOf(listener, factory, limitedLog, self._reactor, self._backlog)
        port.transport = self._connection
        port.giveUp = self._giveUp
        lighten(port)
        return port

    def on(self, listeners: Sequence[Listener]) -> list[IListeningPort]:
        """
        Make ports for sockets; leave out those whose endpoint already has one.
        """
        if self._limits.most is None:
            self._limits.most = self._mostConnections()
        return [one.port or self._port(one, listeners) for one in listeners]

    def _mostConnections(self) -> int | None:
        """
        Return how many connections there may be at a time.  With ``--metrics`` some files
        are kept for requests, however many connections the settings allow.
        """
        chosen, isScraped = self._rules.streams.maxConnections, self._rules.streams.isScraped
        if chosen and not isScraped:
            return chosen
        # select(2) takes no descriptor above 1,023.
        most = 1024 if hasattr(self._reactor, "doSelect") else None
        room = roomForConnections(most, roomForScrapers(most) if isScraped else 0)
        return min(filter(None, (chosen, room)), default=None)

    def _port(self, listener: Listener, others: Sequence[Listener]) -> StreamPort | DatagramPort:
        assert listener.socket is not None
        if listener.socket.type == socket.SOCK_STREAM:
            factory = self.factory(listener.transport)
            return self.stream(listener.socket, listener.transport, factory)
        kind, guard = self._kindOf(listener.transport), self._guardOf(listener.transport, others)
        protocol = DatagramEcho(self._rules.prefix, verbose=self._rules.verbose)
        limitedLog = self.limitedLog(listener.transport)
        port = kind(listener.socket, protocol, guard, limitedLog, self._reactor)
        port.giveUp = self._giveUp
        return port

    def load(self, listeners: Sequence[Listener]) -> None:
        """
        Import the modules that serve them, while their files can be read: a service may be
        confined to a folder before it starts (chroot(2)).
        """
        for listener in listeners:
            self._kindOf(listener.transport)

    def _kindOf(self, transport: str) -> type[DatagramPort]:
        return portFor(self._rules, self._plainKindOf(transport))

    def _plainKindOf(self, transport: str) -> type[DatagramPort]:
        if transport == "raw":
            from echotwist.datagrams.raw import RawPort

            return RawPort
        if transport == "UNIX datagram":
            from echotwist.datagrams.unix import UnixDatagramPort

            return UnixDatagramPort
        return self._udpPort

    def _guardOf(self, transport: str, others: Sequence[Listener]) -> IDatagramGuard:
        prefix, rules = self._rules.prefix, self._rules.datagrams
        if transport == "raw":
            return RawGuard(rules.rate, prefix, loopRate=rules.loopRate, access=self._access)
        if transport == "UNIX datagram":
            from echotwist.sockets.unixpeer import placesOf

            own = placesOf(one.socket for one in others if one.socket)
            return UnixGuard(own, prefix, loopRate=rules.loopRate)
        return Guard(
            {placeOf(one.socket)[1] for one in others if one.socket and one.transport == "UDP"},
            rules.rate,
            rules.answerLowPorts,
            prefix,
            loopRate=rules.loopRate,
            access=self._access,
        )


def portOf(listener: socket.socket, *arguments: Any) -> StreamPort:
    """
    Make the port for a socket that listens for streams, by its family.

    :param arguments: the arguments of :class:`StreamPort`.
    """
    isUnix = listener.family == getattr(socket, "AF_UNIX", None)
    return (UnixPort if isUnix else StreamPort)(listener, *arguments)
