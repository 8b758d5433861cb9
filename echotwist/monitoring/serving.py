"""
Open, start and stop the HTTP pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort

from echotwist.impair.grammar import Impairments
from echotwist.listening.listeners import Binding, Listener, closeAll, startAll
from echotwist.reactors import IReactor
from echotwist.sockets.errors import ListenError
from echotwist.telemetry.counters import Counters


class Monitoring:
    """
    Serve metrics and health, if the settings ask for them.

    :param endpoint: the description of a Twisted endpoint; empty for no pages.
    :param counters: the counters of each transport.
    :param impairments: the impairments that the service applies.
    :param state: returns the state of the service in a word.
    :param health: returns its health.
    :param refresh: updates the counters.
    :ivar listeners: the open listeners that no port serves yet.
    :ivar usesInterfaces: the endpoint names no interface, so ``--interface`` decides.
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

        :param binding: how the service's sockets are bound.
        :param others: the endpoints of the service.
        :param reactor: the reactor that runs the ports.
        :raise ListenError: the endpoint cannot listen.
        """
        if self._endpoint is None:
            return
        # Only this function needs both, and their import takes longer than all others.
        from echotwist.listening.endpoints import EndpointReactor

        try:
            from echotwist.monitoring.metrics import site
        except ImportError as error:
            why = OSError(f"{error}; pip install 'echotwist[metrics]'")
            raise ListenError("metrics", self._endpoint, why) from None
        pages = site(*self._sources, reactor)
        # A client gets each page whole, and from this service.
        binding = evolve(binding, linger=None, reuse=False)
        found = EndpointReactor(reactor, binding, self._endpoint, pages, others, what="metrics")
        self.listeners = found.open()
        self.usesInterfaces = found.isAnywhere

    def start(self) -> None:
        """
        Start serving.
        """
        opened, self.listeners = self.listeners, []
        self._ports = [one.port for one in opened if one.port is not None]
        startAll(opened, self._ports)

    def stop(self) -> Deferred[Any]:
        """
        Stop listening.
        """
        closeAll(self.listeners)
        ports, self._ports, self.listeners = self._ports, [], []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])
