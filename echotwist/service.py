"""
The service: opens the listeners, starts them, and stops them without loss.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from attrs import evolve
from twisted.application.service import IProcess, Service
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, maybeDeferred, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from echotwist.clock import keepSteady
from echotwist.datagrams.port import DatagramPort
from echotwist.listening.links import Links, watchLinks
from echotwist.listening.listeners import Listener, closeAll, openOwn, openShared
from echotwist.listening.ports import Ports
from echotwist.settings import Settings
from echotwist.sockets.errors import ListenError, StartError, oneLine
from echotwist.streams.connection import Connection
from echotwist.streams.factory import EchoFactory
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.logstream import keepFromBlocking

_LINUX = sys.platform == "linux"

#: A terminal has closed; Windows has no such signal.
_HANG_UP: int | None = getattr(signal, "SIGHUP", None)


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
    :param reactor: runs the service; by default the global one.  From then on it
        waits by a clock that nobody can set (:func:`keepSteady`).
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
        self._listeners: list[Listener] = []
        self._metrics: list[Listener] = []
        self._metricsPorts: list[Any] = []
        self._ports: Ports | None = None
        self._sizes: list[int] = []
        self._isInterfaceTaken = False
        self._draining: list[EchoFactory] = []
        self._isProgram = self._hasFailed = self._isAborted = False
        self._openedBy = 0
        self._notifier: Any = None
        self._links: Links | None = None

    def setServiceParent(self, parent: Any) -> None:
        """
        Join other services; with an application, open the sockets.

        :raise SystemExit: the application cannot run.  The text is one line.
        """
        if IProcess(parent, None) is not None:
            self._isProgram = True
            self._openedBy = os.getpid()
            try:
                self.open()
            except StartError as error:
                raise SystemExit(oneLine(error)) from None
        super().setServiceParent(parent)

    def open(self) -> None:
        """
        Open all sockets, or none; once they are open, do nothing.

        :raise ListenError: for the first that cannot be opened.
        :raise StartError: something else keeps it from starting.
        """
        if self._listeners or self.ports:
            return
        self._findPassed()
        self._load()
        self._ports = Ports(
            self.settings, self.counters, self._theReactor, self.fail, *self._kinds()
        )
        if self.settings.metrics is not None:
            self._metrics = self._openMetrics(self.settings.metrics)
        try:
            self._listeners = self._openListeners()
            if not self._listeners:
                why = OSError("all are taken; none is left to serve on")
                raise ListenError("sockets of", "systemd", why)
            self._ports.load(self._listeners)
        except BaseException:
            self._closeMetrics()
            raise

    def _load(self) -> None:
        """
        Import what is needed later, while its files can be read: ``--chroot`` and
        ``--uid`` take them away before we start.
        """
        self._theReactor()
        if "NOTIFY_SOCKET" in os.environ:
            import echotwist.telemetry.notifier  # noqa: F401

    def _findPassed(self) -> None:
        """
        See that systemd passed sockets, if it should have.
        """
        if self.settings.systemd:
            from echotwist.sockets.passed import find

            find()

    def _kinds(self) -> tuple[type[Connection], type[DatagramPort]]:
        """
        Choose what does the work, while we may read its files and have descriptors.
        """
        if self.settings.portable or not _LINUX:
            return Connection, DatagramPort
        from echotwist.fast.batch import BatchPort, works
        from echotwist.fast.connection import FastConnection
        from echotwist.fast.splice import pipe

        pipe()
        exact = not (self.settings.prefix or self.settings.verbose)
        return FastConnection, BatchPort if exact and works() else DatagramPort

    def _openListeners(self) -> list[Listener]:
        if self.settings.processes > 1:
            raise ValueError("this is the service of one process; serviceFor(settings) gives more")
        # Endpoints may take sockets of systemd's; the rest is for --systemd.
        endpoints = self._openEndpoints()
        opened: list[Listener] = []
        try:
            opened = openOwn(self.settings)
            return [*opened, *openShared(self.settings), *endpoints]
        except BaseException:
            closeAll([*opened, *endpoints])
            raise

    def _openEndpoints(
        self, given: Iterator[Sequence[socket.socket]] | None = None
    ) -> list[Listener]:
        """
        Have the endpoints listen.

        :param given: sockets for them, if they are open already.
        """
        opened: list[Listener] = []
        self._sizes = []
        isTaken = self._isInterfaceTaken or bool(self.settings.transports)
        isTaken |= self.settings.raw is not None
        try:
            for text in self.settings.listen:
                endpoint = self._endpoint(text, given)
                opened += endpoint.open()
                self._sizes += endpoint.sizes
                isTaken |= endpoint.isAnywhere
            if self.settings.interfaces and not isTaken and given is None:
                why = OSError("no listener takes it; endpoints name their own, or have none")
                raise ListenError("interface", " ".join(self.settings.interfaces), why)
        except BaseException:
            closeAll(opened)
            raise
        return opened

    def _endpoint(self, text: str, given: Iterator[Sequence[socket.socket]] | None) -> Any:
        # This takes longer to import than all else.
        from echotwist.listening.endpoints import EndpointReactor

        assert self._ports is not None
        return EndpointReactor(self._theReactor(), self.settings, text, self._ports, given)

    def _openMetrics(self, endpoint: str) -> list[Listener]:
        # Both are only needed here, and take longer to import than all else.
        from echotwist.listening.endpoints import EndpointReactor

        try:
            from echotwist.monitoring.metrics import site
        except ImportError as error:
            why = OSError(f"{error}; pip install 'echotwist[metrics]'")
            raise ListenError("metrics", endpoint, why) from None
        reactor = self._theReactor()
        pages = site(self.counters, self._state, self._health, self._refresh, reactor)
        # Each page is to come whole, and from this service.
        settings = evolve(self.settings, linger=None, reuse=False)
        found = EndpointReactor(reactor, settings, endpoint, pages, what="metrics")
        opened = found.open()
        self._isInterfaceTaken = found.isAnywhere
        return opened

    def _health(self) -> str:
        """
        Say how it does: ``healthy``, or more beginning so, unless only a new start would help.
        """
        return "healthy"

    def _state(self) -> str:
        if self._hasFailed:
            return "failed"
        if self._links is not None and self._links.fault:
            return "interface lost"
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
        return keepSteady(self._reactor)

    def _closeListeners(self) -> None:
        closeAll(self._listeners)
        self._listeners = []

    def _closeMetrics(self) -> Deferred[Any]:
        closeAll(self._metrics)
        ports, self._metrics, self._metricsPorts = self._metricsPorts, [], []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])

    def privilegedStartService(self) -> None:
        """
        Open the sockets while we may, ports below 1024 need it; and see that nobody who
        reads the log can keep us waiting, which may need it for a terminal.
        """
        self.open()
        if self._isProgram:
            for stream in (sys.__stdout__, sys.__stderr__):
                keepFromBlocking(stream)

    def startService(self) -> None:
        """
        Begin to serve.
        """
        self.privilegedStartService()
        super().startService()
        reactor = self._theReactor()
        if self._isProgram:
            reactor.callWhenRunning(self._takeSignals)
        self._watchLinks()
        self._startServing()
        self._startMetrics()

    def _watchLinks(self) -> None:
        """
        Follow the network interfaces that our sockets are bound to.
        """
        listeners = [*self._listeners, *self._metrics]
        pairs = [(one.socket, one.text) for one in listeners if one.socket is not None]
        self._links = watchLinks(pairs, self._reactor)

    def _startMetrics(self) -> None:
        listeners, self._metrics = self._metrics, []
        self._metricsPorts = [listener.port for listener in listeners]
        _startAll(listeners, self._metricsPorts)

    def _startServing(self) -> None:
        listeners, self._listeners = self._listeners, []
        text = ", ".join(listener.text for listener in listeners)
        assert self._ports is not None
        self.ports = self._ports.on(listeners)
        _startAll(listeners, self.ports)
        self._warn()
        # Signals that come before the reactor runs would end it without a drain.
        self._reactor.callWhenRunning(self._announce, text)

    def _warn(self) -> None:
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            self._log.warn("echo runs as root; --uid of twistd makes it run as somebody else")

    def _announce(self, text: str) -> None:
        self._log.info("echo on {listeners}", listeners=text)
        self._notify(text)

    def _notify(self, text: str) -> None:
        """
        Tell systemd that peers are served, if it wants to know.
        """
        if "NOTIFY_SOCKET" in os.environ and self._isProgram:
            from echotwist.telemetry.notifier import Notifier

            self._notifier = Notifier(os.environ, self._reactor, self._checkAlive)
            self._notifier.ready(f"echo on {text}")

    def _checkAlive(self) -> None:
        """
        See that all processes live, before we say so.
        """

    def fail(self, why: str) -> None:
        """
        End the program in order, with status 1: whoever supervises it starts it again.

        :param why: in words.
        """
        self._log.critical("{why}", why=why)
        hadFailed, self._hasFailed = self._hasFailed, True
        if hadFailed or not self._isProgram:
            return
        # twistd itself would end with status 0, whatever its reactor was stopped for.
        atexit.register(os._exit, 1)
        with suppress(ReactorNotRunning):
            self._reactor.stop()

    @inlineCallbacks
    def stopService(self) -> Any:
        """
        Stop without losing a byte: listen no more, give back what has come
        and still comes, then end.

        :return: fires when nothing is left open.
        """
        super().stopService()
        if self._links is not None:
            self._links.loseConnection()
            self._links = None
        self._closeListeners()
        if self._notifier is not None:
            self._notifier.stopping("stopping: what has come in goes out")
        stopped = self._stopServing()
        if self._isAborted:
            self._abortAll()
        yield stopped
        yield self._closeMetrics()
        if self._notifier is not None:
            self._notifier.stopped()

    @inlineCallbacks
    def _stopServing(self) -> Any:
        ports, self.ports = self.ports, []
        for port in ports:
            getattr(port, "handleRest", lambda: None)()
        if self._ports is not None:
            self._draining = list(self._ports.factories.values())
        yield gatherResults([maybeDeferred(port.stopListening) for port in ports])
        yield gatherResults([one.drain(self.settings.drain) for one in self._draining])

    def _takeSignals(self) -> None:
        """
        Have a signal stop the program, with status 0, and a second end it at once.

        Where the reactor has the signals, that is: then it is the program's.  A
        terminal that closes is a signal too; nohup(1) has it ignored.  A daemon has no
        terminal, and nothing that it could read again: it ignores that one.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            handler: Any = signal.getsignal(number)
            if getattr(handler, "__self__", None) == self._reactor:
                self._takeSignal(number, self._onSignal)
        isOurs = signal.getsignal(signal.SIGTERM) == self._onSignal
        if isOurs and _HANG_UP and signal.getsignal(_HANG_UP) == signal.SIG_DFL:
            isDaemon = os.getpid() != self._openedBy
            self._takeSignal(_HANG_UP, signal.SIG_IGN if isDaemon else self._onSignal)

    def _takeSignal(self, number: int, handler: Any) -> None:
        signal.signal(number, handler)
        # Python restores the default actions before it ends; what comes then would end
        # it another way.
        self._reactor.addSystemEventTrigger(
            "after", "shutdown", signal.signal, number, signal.SIG_IGN
        )

    def _onSignal(self, number: int, _: object) -> None:
        # It may come at any moment, also in the midst of another.
        self._reactor.callFromThread(self._end, number)

    def _end(self, number: int) -> None:
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            # A shell passes on that its terminal has closed, and the kernel says so too.
            if number != _HANG_UP:
                self.abort()
        else:
            name = signal.Signals(number).name
            self._log.info("Received {signal}, shutting down.", signal=name)

    def abort(self) -> None:
        """
        Drain no longer; or not at all, if it is only about to.
        """
        self._isAborted = True
        self._abortAll()

    def _abortAll(self) -> None:
        for factory in self._draining:
            factory.abortAll()


def _startAll(listeners: Sequence[Listener], ports: Sequence[Any]) -> None:
    """
    Have ports listen, but for those of endpoints that do so already.
    """
    for listener, port in zip(listeners, ports, strict=True):
        if listener.socket is not None:
            port.startListening()
