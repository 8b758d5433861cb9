"""
Serve with several processes behind one port.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from socket import socket as Socket
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from zope.interface import implementer

from echotwist.listening.interfaces import IServing
from echotwist.listening.listeners import (
    Listener,
    Sockets,
    allOrNone,
    closeAll,
    openOwn,
    openShared,
    textOf,
)
from echotwist.listening.ports import Ports
from echotwist.listening.rules import Rules
from echotwist.listening.serving import listenersOf, openEndpoints, usesInterfaces
from echotwist.reactors import IReactor
from echotwist.sockets.addresses import placeOf
from echotwist.sockets.errors import ListenError
from echotwist.telemetry.counters import Counters
from echotwist.workers.spawning import Spawner
from echotwist.workers.tryout import Identity
from echotwist.workers.wire import Plan

if TYPE_CHECKING:
    from echotwist.workers.monitor import Monitor


@implementer(IServing)
class Pool:
    """
    Serve with workers: processes that are started again when they die.

    Each worker has its own sockets of the port (``SO_REUSEPORT``, socket(7)), and the
    kernel spreads peers over them.  The workers share all other sockets: a free worker
    takes the next peer.  The parent keeps all sockets open: peers that wait for a worker
    that dies go to its successor, or to the other workers if none comes up.

    :param sockets: the sockets that the settings ask for.
    :param rules: the rules for connections and datagrams.
    :param counters: the sums for each transport; this class adds those it needs.
    :param reactor: the reactor, which starts processes.
    :param giveUp: called with the reason, in words, when no worker comes up.
    :param count: the number of workers.
    :param identity: the user, group and root folder that they will have.
    """

    ports: Sequence[IListeningPort] = ()
    _monitor: Monitor

    def __init__(
        self,
        sockets: Sockets,
        rules: Rules,
        counters: list[Counters],
        reactor: IReactor,
        giveUp: Callable[[str], object],
        count: int,
        identity: Identity,
    ) -> None:
        self.listeners: list[Listener] = []
        self.usesInterfaces = False
        self.text = ""
        self._sockets = sockets
        self._rules = rules
        self._counters = counters
        self._reactor = reactor
        self._giveUp = giveUp
        self._count = count
        self._identity = identity
        self._isAborted = False

    def open(self) -> None:
        """
        Open all sockets, or none; and check that workers can start.

        :raise StartError: a socket cannot be opened, or a worker cannot start.
        """
        ports = Ports(
            self._rules, self._sockets.binding, self._counters, self._reactor, self._giveUp
        )
        with allOrNone() as opened:
            endpoints = openEndpoints(self._sockets, ports, self._reactor)
            opened += listenersOf(endpoints)
            self._checkEndpoints(opened)
            opened[:0] = openShared(self._sockets)
            shared = list(opened)
            own = self._openOwn()
            opened[:0] = chain(*own)
            places = [*own[0], *shared]
            for one in places:
                ports.limitedLog(one.transport)
            sizes = [size for endpoint in endpoints for size in endpoint.sizes]
            spawner = self._spawnerOf(own, shared, sizes)
            spawner.tryOut(self._identity)
            self._monitor = self._monitorOf(spawner)
        self.listeners, self.text = opened, textOf(places)
        self.usesInterfaces = usesInterfaces(self._sockets, endpoints)

    def _checkEndpoints(self, opened: Sequence[Listener]) -> None:
        if any(one.socket is None for one in opened):
            why = OSError("this kind of endpoint opens no socket that workers can share")
            raise ListenError("endpoints", " ".join(self._sockets.endpoints), why)

    def _openOwn(self) -> list[list[Listener]]:
        """
        Open for each worker its own sockets.
        """
        binding = evolve(self._sockets.binding, reuse=True)
        mine = evolve(self._sockets, port=_claim(self._sockets), binding=binding)
        own = []
        with allOrNone() as opened:
            for _ in range(self._count):
                own.append(openOwn(mine))
                opened += own[-1]
        return own

    def _spawnerOf(
        self,
        own: Sequence[Sequence[Listener]],
        shared: Sequence[Listener],
        sizes: Sequence[int],
    ) -> Spawner:
        plan = Plan(
            sockets=self._sockets,
            rules=self._rules,
            reactor=type(self._reactor).__module__,
            # Names of files are relative to this folder, whatever --rundir says.
            folder=os.getcwd(),
            sizes=sizes,
        )
        return Spawner(plan, [_socketsOf(listeners) for listeners in own], _socketsOf(shared))

    def _monitorOf(self, spawner: Spawner) -> Monitor:
        # This import installs a reactor, which twistd must choose first.
        from echotwist.workers.monitor import Monitor

        return Monitor(spawner, self._counters, self._reactor)

    def start(self) -> Deferred[None]:
        """
        Start the workers.

        :return: fires when all of them serve.
        """
        self._monitor.gaveUp.addCallback(self._gaveUp)
        self._monitor.startService()
        return self._monitor.allServe

    def _gaveUp(self, why: str) -> None:
        self._close()
        self._giveUp(f"no worker comes up: {why}")

    @property
    def isServing(self) -> bool:
        """
        Whether all workers serve, or others serve in their place.
        """
        return self._monitor.isServing

    @property
    def health(self) -> str:
        """
        The health of the workers, in words.
        """
        return self._monitor.health

    def refresh(self) -> Deferred[None]:
        """
        Ask all workers for their counters, and add them up.
        """
        return self._monitor.ask().addCallback(self._sum)

    def checkAlive(self) -> None:
        """
        Check that all workers answer; replace those that do not.
        """
        self._monitor.checkAlive()

    def stop(self) -> Deferred[None]:
        """
        Stop all workers.

        :return: fires when all have ended.
        """
        self._close()
        stopped = self._monitor.stopService()
        if self._isAborted:
            self._monitor.abort()
        return stopped.addCallback(self._sum)

    def abort(self) -> None:
        """
        Abort the drain of the workers; if it has not begun, skip it.
        """
        self._isAborted = True
        self._monitor.abort()

    def _close(self) -> None:
        closeAll(self.listeners)
        self.listeners = []

    def _sum(self, _: object) -> None:
        for total in self._counters:
            total.becomeSumOf(self._monitor.countersOf(total.transport))


def _socketsOf(listeners: Iterable[Listener]) -> list[Socket]:
    return [one.socket for one in listeners if one.socket is not None]


def _claim(sockets: Sockets) -> int | None:
    """
    Find the port, and check that no other program has it and shares it.
    """
    opened = openOwn(sockets)
    number = placeOf(opened[0].socket)[1] if opened and opened[0].socket else None
    closeAll(opened)
    return number
