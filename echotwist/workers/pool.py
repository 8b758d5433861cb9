"""
The service of several processes behind one port.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.application.service import IProcess
from twisted.internet.defer import Deferred, succeed

from echotwist.datagrams.port import DatagramPort
from echotwist.listening.listeners import Listener, closeAll, openOwn, openShared
from echotwist.service import EchoService
from echotwist.settings import Settings
from echotwist.sockets.addresses import placeOf
from echotwist.sockets.errors import ListenError
from echotwist.streams.connection import Connection
from echotwist.workers.tryout import Identity

if TYPE_CHECKING:
    from echotwist.workers.monitor import Monitor


class WorkersService(EchoService):
    """
    The echo service, served by workers: processes that are started again when
    they die.

    Each has its own sockets of the port (``SO_REUSEPORT``, socket(7)), among
    which the kernel deals out peers; all others they share: who is free takes
    the next peer.  The parent opens them and keeps them open: the peers who
    wait at a worker that dies are served by the next, or by the others if none
    comes up.

    :param settings: what was chosen.
    :param options: those of ``twistd`` itself, as far as they are known.
    :ivar counters: the sums, as old as the last look at ``/metrics``.
    """

    _monitor: Monitor | None = None

    def __init__(
        self, settings: Settings, options: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        super().__init__(settings)
        self._options = options
        self._identity = Identity.of(options, None)

    def setServiceParent(self, parent: Any) -> None:
        """
        Join other services; an application may say who it is going to be.
        """
        self._identity = Identity.of(self._options, IProcess(parent, None))
        super().setServiceParent(parent)

    def _kinds(self) -> tuple[type[Connection], type[DatagramPort]]:
        # The workers do the work.
        return Connection, DatagramPort

    def _openListeners(self) -> list[Listener]:
        endpoints = shared = self._openEndpoints()
        own: list[list[Listener]] = []
        try:
            self._checkEndpoints(endpoints)
            shared = [*openShared(self.settings), *endpoints]
            number = _claim(self.settings)
            mine = evolve(self.settings, port=number, reuse=True)
            for _ in range(self.settings.processes):
                own.append(openOwn(mine) if number is not None else [])
            self._begin(own, shared)
        except BaseException:
            closeAll([*chain(*own), *shared])
            raise
        return [*chain(*own), *shared]

    def _begin(self, own: Sequence[Sequence[Listener]], shared: Sequence[Listener]) -> None:
        """
        See that workers can start.

        :raise StartError: they cannot.
        """
        from echotwist.workers.monitor import Monitor

        assert self._ports is not None
        for one in [*own[0], *shared]:
            self._ports.limitedLog(one.transport)
        self._text = ", ".join(listener.text for listener in [*own[0], *shared])
        self._monitor = Monitor(
            self.settings,
            [_sockets(listeners) for listeners in own],
            _sockets(shared),
            self._sizes,
            self.counters,
            self._theReactor(),
        )
        self._monitor.tryOut(self._identity)

    def _load(self) -> None:
        super()._load()
        # This needs the reactor, which must not be chosen before twistd does.
        import echotwist.workers.monitor  # noqa: F401

    def _checkEndpoints(self, endpoints: list[Listener]) -> None:
        if any(one.socket is None for one in endpoints):
            why = OSError("with --workers an endpoint must be a socket's")
            raise ListenError("endpoints", " ".join(self.settings.listen), why)

    def _startServing(self) -> None:
        assert self._monitor is not None
        self._warn()
        self._monitor.allServe.addCallback(lambda _: self._announce(self._text))
        self._monitor.gaveUp.addCallback(self._giveUp)
        self._monitor.startService()

    def _giveUp(self, why: str) -> None:
        self._closeListeners()
        self.fail(f"no worker comes up: {why}")

    def _announce(self, text: str) -> None:
        self._log.info(
            "echo on {listeners}; {workers} workers",
            listeners=text,
            workers=self.settings.processes,
        )
        self._notify(text)

    def _stopServing(self) -> Deferred[Any]:
        # The parent's sockets are closed by now; the last are those of the workers.
        if self._monitor is None:
            return succeed(None)
        return self._monitor.stopService().addCallback(self._sum)

    def _abortAll(self) -> None:
        if self._monitor is not None:
            self._monitor.abort()

    def _checkAlive(self) -> None:
        if self._monitor is not None:
            self._monitor.checkAlive()

    def _health(self) -> str:
        return self._monitor.health if self.running and self._monitor else super()._health()

    def _state(self) -> str:
        if self.running and not self._hasFailed and not (self._monitor and self._monitor.isServing):
            return "starting"
        return super()._state()

    def _refresh(self) -> Deferred[Any]:
        if self._monitor is None:
            return super()._refresh()
        return self._monitor.ask().addCallback(self._sum)

    def _sum(self, _: object) -> None:
        assert self._monitor is not None
        for total in self.counters:
            total.becomeSumOf(self._monitor.countersOf(total.transport))


def _sockets(listeners: Iterable[Listener]) -> list[socket.socket]:
    return [one.socket for one in listeners if one.socket is not None]


def _claim(settings: Settings) -> int | None:
    """
    Find the port, and see that nobody has it who would share it with us.
    """
    listeners = openOwn(settings)
    number = placeOf(listeners[0].socket)[1] if listeners and listeners[0].socket else None
    closeAll(listeners)
    return number
