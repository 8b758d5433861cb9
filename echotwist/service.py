"""
The service: opens the listeners, starts them, and stops them without loss.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from typing import Any

from twisted.application.service import IProcess, Service
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, maybeDeferred, succeed
from twisted.logger import Logger

from echotwist.connection import Connection, lingering
from echotwist.counters import Counters
from echotwist.datagram import DatagramEcho, DatagramPort
from echotwist.factory import EchoFactory
from echotwist.guard import Guard
from echotwist.journal import Journal
from echotwist.limits import Limits
from echotwist.settings import Settings
from echotwist.sockets import ListenError, listenerText, oneLine, openAll, roomForConnections
from echotwist.streamport import StreamPort

_LINUX = sys.platform == "linux"


def installReactor() -> None:
    """
    Install the fastest reactor there is, unless somebody has chosen one.
    """
    if _LINUX and "twisted.internet.reactor" not in sys.modules:
        from echotwist.fast.reactor import install

        install()


class EchoService(Service):
    """
    The echo service.

    Its sockets are opened when it joins an application, or else when it is
    started.  The former is the last moment at which a ``twistd`` that is going
    to daemonise can still tell the person who called it what is wrong.  (A
    service that joins by way of a ``MultiService`` should be opened first.)

    :param settings: what was chosen.
    :param reactor: runs the service; by default the global one.
    :ivar ports: the listening ports while the service runs
        (``IListeningPort``), TCP before UDP at each address.
    :ivar counters: what happened, for each transport.
    """

    _log = Logger()

    def __init__(self, settings: Settings, reactor: Any = None) -> None:
        self.settings = settings
        self.ports: list[Any] = []
        self.counters = [Counters(transport) for transport in settings.transports]
        self._reactor: Any = reactor
        self._listeners: list[socket.socket] = []
        self._metricsPort: Any = None
        self._streams: EchoFactory | None = None
        self._draining: EchoFactory | None = None
        self._isProgram = False
        self._connection: type[Connection] = Connection
        self._datagramKind: type[DatagramPort] = DatagramPort

    def setServiceParent(self, parent: Any) -> None:
        """
        Join other services; with an application, open the sockets.

        :raise SystemExit: the application cannot run: a socket cannot be
            opened.  The text is one line.
        """
        if IProcess(parent, None) is not None:
            self._isProgram = True
            try:
                self.open()
            except ListenError as error:
                raise SystemExit(oneLine(error)) from None
        super().setServiceParent(parent)

    def open(self) -> None:
        """
        Open all sockets, or none; once they are open, do nothing.

        :raise ListenError: for the first that cannot be opened.
        """
        if self._listeners or self.ports:
            return
        self._choose()
        self._listeners = self._openListeners()
        if self.settings.metrics is not None:
            try:
                self._metricsPort = self._openMetrics(self.settings.metrics)
            except BaseException:
                self._closeListeners()
                raise

    def _choose(self) -> None:
        """
        Choose what does the work, while we may read its files and have descriptors.
        """
        if self.settings.portable or not _LINUX:
            return
        from echotwist.fast.batch import BatchPort, works
        from echotwist.fast.splice import pipe
        from echotwist.fast.transport import FastConnection

        pipe()
        self._connection = FastConnection
        if works() and not (self.settings.prefix or self.settings.verbose):
            self._datagramKind = BatchPort

    def _openListeners(self) -> list[socket.socket]:
        if self.settings.processes > 1:
            raise ValueError("this is the service of one process; serviceFor(settings) gives more")
        return openListeners(self.settings)

    def _openMetrics(self, endpoint: str) -> Any:
        # Both are only needed here, and take longer to import than all else.
        from twisted.internet.endpoints import serverFromString

        try:
            from echotwist.metrics import site
        except ImportError as error:
            text = f"{error}: pip install 'echotwist[metrics]'"
            raise ListenError("metrics", endpoint, OSError(errno.ENOSYS, text)) from None
        page = site(self.counters, self._state, self._refresh)
        outcome: list[Any] = []
        server = maybeDeferred(serverFromString, self._theReactor(), endpoint)
        server.addCallback(lambda found: found.listen(page)).addBoth(outcome.append)
        # Twisted's own server endpoints listen at once.
        [port] = outcome or [None]
        if not hasattr(port, "stopListening"):
            reason = getattr(port, "value", "it does not listen at once")
            cause = getattr(reason, "socketError", reason)
            if not isinstance(cause, OSError) or cause.errno is None:
                cause = OSError(errno.EINVAL, str(cause))
            raise ListenError("metrics", endpoint, cause)
        return port

    def _state(self) -> str:
        return "ready" if self.running else "stopping"

    def _refresh(self) -> Deferred[Any]:
        """
        Bring the counters up to date.
        """
        return succeed(None)

    def _theReactor(self) -> Any:
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        return self._reactor

    def _closeListeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners = []

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
        self._theReactor()
        self._startServing()

    def _startServing(self) -> None:
        listeners, self._listeners = self._listeners, []
        self.ports = self._portsOn(listeners)
        for port in self.ports:
            port.startListening()
        self._warnOfRoot()
        text = ", ".join(map(listenerText, listeners))
        # Signals that come before the reactor runs would end it without a drain.
        self._reactor.callWhenRunning(self._announce, text)

    def _warnOfRoot(self) -> None:
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            self._log.warn("echo runs as root; --uid of twistd makes it run as somebody else")

    def _announce(self, text: str) -> None:
        self._log.info("echo on {listeners}", listeners=text)

    def _portsOn(self, listeners: list[socket.socket]) -> list[Any]:
        journals = {counters.transport: Journal(counters) for counters in self.counters}
        numbers = {listener.getsockname()[1] for listener in listeners}
        if "TCP" in journals:
            self._streams = self._factory(journals["TCP"])
        return [
            self._streamPort(listener, journals["TCP"])
            if listener.type == socket.SOCK_STREAM
            else self._datagramPort(listener, journals["UDP"], numbers)
            for listener in listeners
        ]

    def _factory(self, journal: Journal) -> EchoFactory:
        chosen = self.settings
        # select(2) knows no file above 1,023.
        most = 1024 if hasattr(self._reactor, "doSelect") else None
        room = chosen.maxConnections or roomForConnections(most)
        return EchoFactory(
            prefix=chosen.prefix,
            verbose=chosen.verbose,
            limits=Limits(room, chosen.maxPerPeer or None),
            stallTimeout=chosen.stallTimeout,
            idleTimeout=chosen.idleTimeout,
            journal=journal,
            reactor=self._reactor,
        )

    def _streamPort(self, listener: socket.socket, journal: Journal) -> StreamPort:
        assert self._streams is not None
        backlog = self.settings.backlog
        port = StreamPort(listener, self._streams, journal, self._reactor, backlog)
        port.transport = self._connection
        if self.settings.linger is not None:
            port.transport = lingering(self.settings.linger, port.transport)
        return port

    def _datagramPort(
        self, listener: socket.socket, journal: Journal, numbers: set[int]
    ) -> DatagramPort:
        chosen = self.settings
        guard = Guard(numbers, chosen.udpRate, chosen.answerLowPorts, chosen.prefix)
        protocol = DatagramEcho(chosen.prefix, verbose=chosen.verbose)
        return self._datagramKind(listener, protocol, guard, journal, self._reactor)

    @inlineCallbacks
    def stopService(self) -> Any:
        """
        Stop without losing a byte: listen no more, give back what has come
        and still comes, then end.

        :return: fires when nothing is left open.
        """
        super().stopService()
        self._closeListeners()
        if self._isProgram:
            self._takeSignals()
        metrics, self._metricsPort = self._metricsPort, None
        yield self._stopServing()
        if metrics is not None:
            yield maybeDeferred(metrics.stopListening)

    @inlineCallbacks
    def _stopServing(self) -> Any:
        ports, self.ports = self.ports, []
        for port in ports:
            port.handleRest()
        streams, self._streams = self._streams, None
        self._draining = streams or self._draining
        yield gatherResults([maybeDeferred(port.stopListening) for port in ports])
        if self._draining is not None:
            yield self._draining.drain(self.settings.drain)

    def _takeSignals(self) -> None:
        """
        Have a second signal end it at once, and the exit status be 0.

        Where the reactor has the signals, that is: then it is the program's.
        """
        reactor = self._theReactor()
        for number in (signal.SIGTERM, signal.SIGINT):
            handler: Any = signal.getsignal(number)
            if getattr(handler, "__self__", None) == reactor:
                signal.signal(number, self._hurry)
                # twistd would kill itself with the signal that stopped it.
                reactor._exitSignal = None

    def _hurry(self, *_: object) -> None:
        if self._draining is not None:
            self._theReactor().callFromThread(self._draining.abortAll)


def openListeners(settings: Settings) -> list[socket.socket]:
    """
    Open all sockets that settings ask for, or none.

    :raise ListenError: for the first that cannot be opened.
    """
    return openAll(
        settings.interfaces,
        settings.port,
        settings.transports,
        reuse=settings.reuse,
        backlog=settings.backlog,
        linger=settings.linger,
    )
