"""
What serves a socket: its port, and for streams the factory of the echoes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from zope.interface import Interface, implementer

from echotwist.datagrams.guard import Guard, IDatagramGuard, RawGuard, UnixGuard
from echotwist.datagrams.port import DatagramPort
from echotwist.echo import DatagramEcho
from echotwist.listening.listeners import Listener
from echotwist.settings import Settings
from echotwist.sockets.access import Access
from echotwist.sockets.addresses import placeOf
from echotwist.sockets.options import roomForConnections, roomForScrapers
from echotwist.streams.connection import Connection, lingering
from echotwist.streams.factory import EchoFactory
from echotwist.streams.limits import Limits
from echotwist.streams.port import StreamPort, UnixPort
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.log import RateLimitedLog


class IPortMaker(Interface):
    """
    Whoever makes what serves the sockets of an endpoint.
    """

    def factory(transport: str) -> IProtocolFactory:
        """
        Give what makes the protocols of a transport.
        """

    def stream(listener: socket.socket, transport: str, factory: IProtocolFactory) -> StreamPort:
        """
        Make the port of a socket that listens.
        """


@implementer(IPortMaker)
class Ports:
    """
    Make the ports of a service.

    :param settings: what was chosen.
    :param counters: those of each transport; more are added as they are needed.
    :param theReactor: gives what runs the ports, once it has to be known.
    :param giveUp: is told, in words, that a port can serve no more.
    :param connection: the class of connections.
    :param udpPort: the class of ports of UDP.
    :ivar factories: those of the streams, by transport.
    """

    def __init__(
        self,
        settings: Settings,
        counters: list[Counters],
        theReactor: Callable[[], Any],
        giveUp: Callable[[str], object],
        connection: type[Connection] = Connection,
        udpPort: type[DatagramPort] = DatagramPort,
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._theReactor = theReactor
        self._giveUp = giveUp
        isOpen = not (settings.allow or settings.deny)
        self._access = None if isOpen else Access(settings.allow, settings.deny)
        self._limits = Limits(None, settings.maxPerPeer or None, self._access)
        self._limitedLogs: dict[str, RateLimitedLog] = {}
        self.factories: dict[str, EchoFactory] = {}
        self._udpPort = udpPort
        self._connection = connection
        if settings.linger is not None:
            self._connection = lingering(settings.linger, connection)

    def limitedLog(self, transport: str) -> RateLimitedLog:
        """
        Give what counts and tells for a transport.
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
        Give the factory of the streams of a transport.
        """
        if transport not in self.factories:
            self.factories[transport] = EchoFactory(
                prefix=self._settings.prefix,
                verbose=self._settings.verbose,
                limits=self._limits,
                stallTimeout=self._settings.stallTimeout,
                idleTimeout=self._settings.idleTimeout,
                limitedLog=self.limitedLog(transport),
                reactor=self._theReactor(),
            )
        return self.factories[transport]

    def stream(self, listener: socket.socket, transport: str, factory: Any) -> StreamPort:
        """
        Make the port of a socket that listens.

        :param factory: makes the protocols.
        """
        limitedLog, backlog = self.limitedLog(transport), self._settings.backlog
        port = portOf(listener, factory, limitedLog, self._theReactor(), backlog)
        port.transport = self._connection
        port.giveUp = self._giveUp
        return port

    def on(self, listeners: Sequence[Listener]) -> list[Any]:
        """
        Make the ports of sockets, of each that has none yet.
        """
        if self._limits.most is None:
            self._limits.most = self._mostConnections()
        return [one.port or self._port(one, listeners) for one in listeners]

    def _mostConnections(self) -> int | None:
        """
        Tell how many connections there may be at a time.  Where there are numbers,
        their files are theirs, however many connections somebody has allowed.
        """
        chosen, hasNumbers = self._settings.maxConnections, self._settings.metrics is not None
        if chosen and not hasNumbers:
            return chosen
        # select(2) knows no file above 1,023.
        most = 1024 if hasattr(self._theReactor(), "doSelect") else None
        room = roomForConnections(most, roomForScrapers(most) if hasNumbers else 0)
        return min(filter(None, (chosen, room)), default=None)

    def _port(self, listener: Listener, others: Sequence[Listener]) -> Any:
        assert listener.socket is not None
        if listener.socket.type == socket.SOCK_STREAM:
            factory = self.factory(listener.transport)
            return self.stream(listener.socket, listener.transport, factory)
        kind, guard = self._kindOf(listener.transport), self._guardOf(listener.transport, others)
        protocol = DatagramEcho(self._settings.prefix, verbose=self._settings.verbose)
        limitedLog = self.limitedLog(listener.transport)
        port = kind(listener.socket, protocol, guard, limitedLog, self._theReactor())
        port.giveUp = self._giveUp
        return port

    def load(self, listeners: Sequence[Listener]) -> None:
        """
        Import what serves them, while its files can be read: a service may be shut up
        in a folder before it starts (chroot(2)).
        """
        for listener in listeners:
            self._kindOf(listener.transport)

    def _kindOf(self, transport: str) -> type[DatagramPort]:
        if transport == "raw":
            from echotwist.datagrams.raw import RawPort

            return RawPort
        if transport == "UNIX datagram":
            from echotwist.datagrams.unix import UnixDatagramPort

            return UnixDatagramPort
        return self._udpPort

    def _guardOf(self, transport: str, others: Sequence[Listener]) -> IDatagramGuard:
        chosen = self._settings
        if transport == "raw":
            return RawGuard(
                chosen.udpRate, chosen.prefix, loopRate=chosen.loopRate, access=self._access
            )
        if transport == "UNIX datagram":
            from echotwist.sockets.unixpeer import placesOf

            own = placesOf(one.socket for one in others if one.socket)
            return UnixGuard(own, chosen.prefix, loopRate=chosen.loopRate)
        numbers = {
            placeOf(one.socket)[1] for one in others if one.socket and one.transport == "UDP"
        }
        return Guard(
            numbers,
            chosen.udpRate,
            chosen.answerLowPorts,
            chosen.prefix,
            loopRate=chosen.loopRate,
            access=self._access,
        )


def portOf(listener: socket.socket, *arguments: Any) -> StreamPort:
    """
    Make the port of a socket that listens for streams, as its family has it.

    :param arguments: of :class:`StreamPort`.
    """
    isUnix = listener.family == getattr(socket, "AF_UNIX", None)
    return (UnixPort if isUnix else StreamPort)(listener, *arguments)
