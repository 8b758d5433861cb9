"""
The service: opens the listeners, starts them and stops them.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.application.service import IProcess, Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.logger import Logger

from echotwist.datagram import DatagramEcho, DatagramPort
from echotwist.journal import Journal
from echotwist.settings import Settings
from echotwist.sockets import ListenError, listenerText, openAll
from echotwist.stream import EchoFactory, LingeringServer, ResettingServer, StreamPort


class EchoService(Service):
    """
    The echo service.

    Its sockets are opened when it joins an application, or else when it is
    started.  The former is the last moment at which a ``twistd`` that is going
    to daemonise can still tell the person who called it what is wrong.

    :param settings: what was chosen.
    :param reactor: runs the service; by default the global one.
    :ivar ports: the listening ports while the service runs
        (``IListeningPort``), TCP before UDP at each address.
    """

    _log = Logger("echotwist")

    def __init__(self, settings: Settings, reactor: Any = None) -> None:
        self.settings = settings
        self.journal = Journal()
        self.ports: list[Any] = []
        self._reactor = reactor
        self._listeners: list[socket.socket] = []

    def setServiceParent(self, parent: Any) -> None:
        """
        Join other services; with an application, open the sockets.

        :raise SystemExit: the application cannot run: a socket cannot be
            opened.  The text is one line.
        """
        if IProcess(parent, None) is not None:
            try:
                self.open()
            except ListenError as error:
                raise SystemExit(f"echo: {error}") from None
        super().setServiceParent(parent)

    def open(self) -> None:
        """
        Open all sockets, or none; once they are open, do nothing.

        :raise ListenError: for the first that cannot be opened.
        """
        if self._listeners or self.ports:
            return
        chosen = self.settings
        self._listeners = openAll(
            chosen.interfaces,
            chosen.port,
            chosen.transports,
            reuse=chosen.reuse,
            backlog=chosen.backlog,
            linger=chosen.linger,
        )

    def privilegedStartService(self) -> None:
        """
        Open the sockets while we may: ports below 1024 need it.
        """
        self.open()

    def startService(self) -> None:
        """
        Begin to serve.
        """
        self.open()
        super().startService()
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        listeners, self._listeners = self._listeners, []
        self.ports = [self._portOn(listener) for listener in listeners]
        for port, listener in zip(self.ports, listeners, strict=True):
            port.startListening()
            self._log.info("echo on {listener}", listener=listenerText(listener))

    def _portOn(self, listener: socket.socket) -> StreamPort | DatagramPort:
        if listener.type == socket.SOCK_STREAM:
            return self._streamPortOn(listener)
        return self._datagramPortOn(listener)

    def _streamPortOn(self, listener: socket.socket) -> StreamPort:
        factory = EchoFactory(self.settings.prefix, self.settings.verbose)
        port = StreamPort(listener, factory, self.journal, self._reactor)
        if self.settings.linger is not None:
            port.transport = LingeringServer if self.settings.linger else ResettingServer
        return port

    def _datagramPortOn(self, listener: socket.socket) -> DatagramPort:
        protocol = DatagramEcho(self.settings.prefix, self.settings.verbose)
        return DatagramPort(listener, protocol, self.journal, self._reactor)

    def stopService(self) -> Deferred[list[object]]:
        """
        Stop listening.
        """
        super().stopService()
        for listener in self._listeners:
            listener.close()
        ports, self.ports, self._listeners = self.ports, [], []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])
