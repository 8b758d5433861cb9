"""
Opens, starts and stops the HTTP pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort

from echotwist.impair.grammar import Impairments
from echotwist.listening.listeners import Binding, Listener, closeAll, startAll
from echotwist.recovery import IReactor
from echotwist.sockets.errors import ListenError
from echotwist.telemetry.counters import Counters


class Monitoring:
    """
    Serve metrics and health, if the settings ask for them.

    :param endpoint: where, as Twisted describes it; nothing for nowhere.
    :param counters: those of each transport.
    :param impairments: what goes wrong on purpose.
    :param state: tells the state of the service in a word.
    :param health: tells its health.
    :param refresh: brings the counters up to date.
    :ivar listeners: what is open and served by no port yet.
    :ivar usesInterfaces: the endpoint names none, so it listens where ``--interface`` says.
    """

    def __init__(
        self,
        endpoint: str | None,
        counters: Sequence[Counters],
        impairments: Impairments,
        state: Callable[[], str],
        health: Callable[[], str],
        refresh: Callable[[], Deferred[None]],
    ) -> None:
        self._endpoint = endpoint
        self._sources = counters, impairments, state, health, refresh
        self.listeners: list[Listener] = []
        self.usesInterfaces = False
        self._ports: list[IListeningPort] = []

    def open(self, binding: Binding, others: Sequence[str], reactor: IReactor) -> None:
        """
        Open the sockets.

        :param binding: of the service's sockets.
        :param others: its endpoints.
        :param reactor: runs the ports.
        :raise ListenError: that cannot be done.
        """
        if self._endpoint is None:
            return
        # Only this needs both, and they take longer to import than everything else.
        from echotwist.listening.endpoints import EndpointReactor

        try:
            from echotwist.monitoring.metrics import site
        except ImportError as error:
            why = OSError(f"{error}; pip install 'echotwist[metrics]'")
            raise ListenError("metrics", self._endpoint, why) from None
        pages = site(*self._sources, reactor)
        # Each page is to come whole, and from this service.
        binding = evolve(binding, linger=None, reuse=False)
        found = EndpointReactor(reactor, binding, self._endpoint, pages, others, what="metrics")
        self.listeners = found.open()
        self.usesInterfaces = found.isAnywhere

    def start(self) -> None:
        """
        Begin to serve.
        """
        opened, self.listeners = self.listeners, []
        self._ports = [one.port for one in opened if one.port is not None]
        startAll(opened, self._ports)

    def stop(self) -> Deferred[Any]:
        """
        Listen no more.
        """
        closeAll(self.listeners)
        ports, self._ports, self.listeners = self._ports, [], []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])
