"""
The service, which opens the listeners, starts them, and stops them without loss.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.application.service import IProcess, IServiceCollection, Service
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.logger import Logger

from echotwist.commandline.versions import versions
from echotwist.impair.grammar import OF_DATAGRAMS, OF_STREAMS, Impairments
from echotwist.listening.interfaces import IServing
from echotwist.listening.links import Links, watchLinks
from echotwist.listening.listeners import Sockets, closeAll
from echotwist.listening.serving import Serving
from echotwist.listening.ways import wayOf
from echotwist.monitoring.serving import Monitoring
from echotwist.reactors import keepSteady
from echotwist.settings import Settings
from echotwist.signals import StopSignals, stopAsFailed
from echotwist.sockets.errors import ListenError, StartError, oneLine
from echotwist.telemetry.counters import Counters, carriedBy
from echotwist.telemetry.logstream import keepFromBlocking
from echotwist.values import rulesOf, socketsOf

if TYPE_CHECKING:
    from echotwist.telemetry.notifier import Notifier


class EchoService(Service):
    """
    The echo service, in this process or in several, as the settings say.

    It opens its sockets when it joins an application, or else when it is
    started.  When it joins, ``twistd`` has not daemonised yet, and can still show the user
    an error.  (Call :meth:`open` yourself if the service joins through a
    ``MultiService``.)

    :param settings: the settings.
    :param reactor: the reactor that runs the service; by default the global one.  From
        then on it times calls by a clock that cannot be set (:func:`keepSteady`).
    :param options: the options of ``twistd`` itself, as far as they are known.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        reactor: Any = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        # The quota may have changed the next time that it is read.
        self.settings = evolve(settings, workers=settings.processes)
        self._counters = [Counters(transport) for transport in settings.transports]
        impair = Impairments.of(settings.impair)
        self._impair = impair = impair.seeded(int.from_bytes(os.urandom(3), "big"))
        self._reactor = reactor
        self._options = options
        self._process: Any = None
        self._versions = self._way = ""
        # Set if this service is the whole program: it then handles signals, status and systemd.
        self._signals: StopSignals | None = None
        self._serving: IServing | None = None
        self._monitoring = Monitoring(
            settings.metrics, self._counters, impair, self._state, self._health, self._refresh
        )
        self._isOpen = self._hasFailed = False
        self._notifier: Notifier | None = None
        self._links: Links | None = None

    @property
    def counters(self) -> list[Counters]:
        """
        The present counters of each transport; read the attribute again for later events.
        With workers these are the sums, as old as the last request for ``/metrics``.
        """
        return [one.settle() for one in self._counters]

    @property
    def ports(self) -> list[Any]:
        """
        The listening ports while the service runs (``IListeningPort``), TCP before UDP
        at each address; empty with workers, which have the ports themselves.
        """
        return list(self._serving.ports) if self._serving else []

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """
        Join other services; with an application, open the sockets.

        :raise SystemExit: the application cannot run.  The text is one line.
        """
        self._process = IProcess(parent, None)
        if self._process is not None:
            self._signals = StopSignals(self._stopping, self.abort)
            try:
                self.open()
            except StartError as error:
                raise SystemExit(oneLine(error)) from None
        super().setServiceParent(parent)

    def open(self) -> None:
        """
        Open all sockets, or none; do nothing if they are open already.

        :raise ListenError: for the first that cannot be opened.
        :raise StartError: the service cannot start for another reason.
        """
        if self._isOpen:
            return
        sockets = socketsOf(self.settings)
        if sockets.systemd:
            from echotwist.sockets.passed import find

            find()
        self._load()
        serving = self._choose(sockets)
        try:
            self._monitoring.open(sockets.binding, sockets.endpoints, self._reactor)
            serving.open()
            self._check(serving)
        except BaseException:
            closeAll(serving.listeners)
            self._monitoring.stop()
            raise
        self._serving, self._isOpen = serving, True

    def _load(self) -> None:
        """
        Import the modules needed later while their files can be read: ``--chroot`` and
        ``--uid`` may prevent that before the service starts.
        """
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        keepSteady(self._reactor)
        self._versions, self._way = versions(), wayOf(self.settings.portable)
        if "NOTIFY_SOCKET" in os.environ:
            import echotwist.telemetry.notifier  # noqa: F401

    def _choose(self, sockets: Sockets) -> IServing:
        """
        Choose the part that serves: this process, or several workers.
        """
        rules = rulesOf(self.settings, self._impair)
        if self.settings.workers == 1:
            return Serving(sockets, rules, self._counters, self._reactor, self.fail)
        from echotwist.workers.pool import Pool
        from echotwist.workers.tryout import Identity

        identity = Identity.of(self._options, self._process)
        count = self.settings.workers
        return Pool(sockets, rules, self._counters, self._reactor, self.fail, count, identity)

    def _check(self, serving: IServing) -> None:
        """
        Check that each setting applies to a socket of the service.

        :raise StartError: a setting applies to none.
        """
        if not serving.listeners:
            why = OSError("endpoints took all of them; leave --systemd out")
            raise ListenError("sockets of", "systemd", why)
        served = {carriedBy(one.transport) for one in serving.listeners}
        for kind, others in ((OF_DATAGRAMS, OF_STREAMS), (OF_STREAMS, OF_DATAGRAMS)):
            if kind not in served and (words := self._impair.only(kind)):
                raise StartError(f"impair {words[0]}: it is for {kind}; here are only {others}")
        isUsed = serving.usesInterfaces or self._monitoring.usesInterfaces
        if self.settings.interfaces and not isUsed:
            why = OSError("no listener uses it; endpoints name their own, or need none")
            raise ListenError("interface", " ".join(self.settings.interfaces), why)

    def privilegedStartService(self) -> None:
        """
        Do the steps that need privileges: open the sockets, such as those of ports below 1024;
        and open a terminal again, so that no reader of the log can block the service.
        """
        self.open()
        if self._signals is not None:
            for stream in (sys.__stdout__, sys.__stderr__):
                keepFromBlocking(stream)

    def startService(self) -> None:
        """
        Start serving.
        """
        self.privilegedStartService()
        super().startService()
        assert self._serving is not None
        self._log.info("{versions}, {way}", versions=self._versions, way=self._way)
        if self._signals is not None:
            self._reactor.callWhenRunning(self._signals.take, self._reactor)
        opened = [*self._serving.listeners, *self._monitoring.listeners]
        self._links = watchLinks(opened, self._reactor)
        served = self._serving.start()
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            self._log.warn("echo runs as root; with --uid twistd runs it as another user")
        if self._impair.words:
            words = ",".join(self._impair.words)
            self._log.warn("this service misbehaves on purpose: --impair {words}", words=words)
        served.addCallback(self._announce, self._serving.text)
        self._monitoring.start()

    def _announce(self, _: object, text: str) -> None:
        """
        Tell the log and systemd that the service serves peers.
        """
        count = self.settings.workers
        if count == 1:
            self._log.info("echo on {listeners}", listeners=text)
        else:
            self._log.info("echo on {listeners}; {workers} workers", listeners=text, workers=count)
        if "NOTIFY_SOCKET" in os.environ and self._signals is not None:
            from echotwist.telemetry.notifier import Notifier

            assert self._serving is not None
            self._notifier = Notifier(os.environ, self._reactor, self._serving.checkAlive)
            self._notifier.ready(f"echo on {text}")

    def _stopping(self, name: str) -> None:
        self._log.info("Received {signal}, shutting down.", signal=name)

    def fail(self, why: str) -> None:
        """
        Stop the program with a drain, and with status 1, so that a supervisor restarts it.

        :param why: the reason, in words.
        """
        self._log.critical("{why}", why=why)
        hadFailed, self._hasFailed = self._hasFailed, True
        if self._signals is not None and not hadFailed:
            stopAsFailed(self._reactor)

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], object, None]:
        """
        Stop without losing a byte: stop listening, echo bytes that have come and still come,
        then end.

        :return: fires when nothing is left open.
        """
        super().stopService()
        self._isOpen = False
        if self._links is not None:
            self._links.loseConnection()
            self._links = None
        if self._notifier is not None:
            self._notifier.stopping("stopping: what has come in goes out")
        if self._serving is not None:
            yield self._serving.stop()
        yield self._monitoring.stop()
        if self._notifier is not None:
            self._notifier.stopped()

    def abort(self) -> None:
        """
        End the drain at once; if it has not begun, skip it.
        """
        if self._serving is not None:
            self._serving.abort()

    def _state(self) -> str:
        if self._hasFailed:
            return "failed"
        if self.running and self._serving and not self._serving.isServing:
            return "starting"
        if self._links is not None and self._links.fault:
            return "interface lost"
        return "ready" if self.running else "stopping"

    def _health(self) -> str:
        return self._serving.health if self.running and self._serving else "healthy"

    def _refresh(self) -> Deferred[None]:
        return self._serving.refresh() if self._serving else succeed(None)
