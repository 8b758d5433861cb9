"""
The service of several processes behind one port.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from echotwist.addresses import placeOf
from echotwist.connection import Connection
from echotwist.datagram import DatagramPort
from echotwist.listeners import Listener, closeAll, openOwn, openShared
from echotwist.service import EchoService
from echotwist.settings import Settings
from echotwist.sockets import ListenError

if TYPE_CHECKING:
    from echotwist.monitor import Monitor


class WorkersService(EchoService):
    """
    The echo service, served by workers: processes that are started again when
    they die.

    Each has its own set of sockets.  All share one port (``SO_REUSEPORT``,
    socket(7)), among which the kernel deals out peers.  Other sockets than those
    of the port are the same for all; who is free takes the next peer.  The
    parent opens them and keeps them open: the peers who wait at a worker that
    dies are served by the next.

    :ivar counters: the sums, as old as the last look at ``/metrics``.
    """

    _monitor: Monitor | None = None
    _sets: Sequence[Sequence[Listener]] = ()
    _folder = ""

    def _kinds(self) -> tuple[type[Connection], type[DatagramPort]]:
        # The workers do the work.
        return Connection, DatagramPort

    def _openListeners(self) -> list[Listener]:
        count = self.settings.processes
        self._folder = os.getcwd()
        endpoints = shared = self._openEndpoints()
        own: list[Listener] = []
        try:
            self._checkEndpoints(endpoints)
            shared = [*openShared(self.settings), *endpoints]
            number = _claim(self.settings)
            mine = evolve(self.settings, port=number, reuse=True)
            for _ in range(count if number is not None else 0):
                own += openOwn(mine)
        except BaseException:
            closeAll([*own, *shared])
            raise
        size = len(own) // count
        self._sets = [[*own[n * size : (n + 1) * size], *shared] for n in range(count)]
        assert self._ports is not None
        for one in self._sets[0]:
            self._ports.journal(one.transport)
        return [*own, *shared]

    def _load(self) -> None:
        super()._load()
        # This needs the reactor, which must not be chosen before twistd does.
        import echotwist.monitor  # noqa: F401

    def _checkEndpoints(self, endpoints: list[Listener]) -> None:
        if any(one.socket is None for one in endpoints):
            why = OSError("with --workers an endpoint must be a socket's")
            raise ListenError("endpoints", " ".join(self.settings.listen), why)

    def _startServing(self) -> None:
        from echotwist.monitor import Monitor

        self._warn()
        text = ", ".join(listener.text for listener in self._sets[0])
        sets = [[one.socket for one in listeners if one.socket] for listeners in self._sets]
        self._monitor = Monitor(
            self.settings, sets, self._sizes, self._folder, self.counters, self._reactor
        )
        self._monitor.allServe.addCallback(lambda _: self._announce(text))
        self._monitor.startService()

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

    def _abort(self) -> None:
        if self._monitor is not None:
            self._monitor.hurry()

    def _look(self, patience: float) -> None:
        if self._monitor is not None:
            self._monitor.look(patience)

    def _state(self) -> str:
        if self.running and not (self._monitor and self._monitor.isServing):
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


def _claim(settings: Settings) -> int | None:
    """
    Find the port, and see that nobody has it who would share it with us.
    """
    listeners = openOwn(settings)
    number = placeOf(listeners[0].socket)[1] if listeners and listeners[0].socket else None
    closeAll(listeners)
    return number
