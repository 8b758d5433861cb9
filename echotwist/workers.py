"""
The service of several processes behind one port.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from echotwist.service import EchoService, openListeners
from echotwist.settings import Settings
from echotwist.sockets import ListenError, listenerText

if TYPE_CHECKING:
    from echotwist.monitor import Monitor


class WorkersService(EchoService):
    """
    The echo service, served by workers: processes that are started again when
    they die.

    Each has its own set of sockets.  All share one port (``SO_REUSEPORT``,
    socket(7)), among which the kernel deals out peers.  The parent opens them
    and keeps them open: the peers who wait at a worker that dies are served by
    the next.

    :ivar counters: the sums, as old as the last look at ``/metrics``.
    """

    _monitor: Monitor | None = None

    def _choose(self) -> None:
        """
        Leave it to the workers, who do the work.
        """

    def _openListeners(self) -> list[socket.socket]:
        number = _claim(self.settings)
        shared = evolve(self.settings, port=number, reuse=True)
        listeners: list[socket.socket] = []
        try:
            for _ in range(self.settings.processes):
                listeners += openListeners(shared)
        except ListenError:
            _close(listeners)
            raise
        return listeners

    def _startServing(self) -> None:
        # This needs the reactor, which must not be chosen before twistd does.
        from echotwist.monitor import Monitor

        self._warnOfRoot()
        size = len(self._listeners) // self.settings.processes
        sets = [self._listeners[n : n + size] for n in range(0, len(self._listeners), size)]
        text = ", ".join(map(listenerText, sets[0]))
        self._monitor = Monitor(self.settings, sets, self.counters, self._reactor)
        self._monitor.allServe.addCallback(lambda _: self._announce(text))
        self._monitor.startService()

    def _announce(self, text: str) -> None:
        self._log.info(
            "echo on {listeners}; {workers} workers",
            listeners=text,
            workers=self.settings.processes,
        )

    def _stopServing(self) -> Deferred[Any]:
        # The parent's sockets are closed by now; the last are those of the workers.
        if self._monitor is None:
            return succeed(None)
        return self._monitor.stopService().addCallback(self._sum)

    def _hurry(self, *_: object) -> None:
        if self._monitor is not None:
            self._theReactor().callFromThread(self._monitor.hurry)

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
        for number, total in enumerate(self.counters):
            total.becomeSumOf([counters[number] for counters in self._monitor.counters])


def _claim(settings: Settings) -> int:
    """
    Find the port, and see that nobody has it who would share it with us.
    """
    listeners = openListeners(settings)
    number: int = listeners[0].getsockname()[1]
    _close(listeners)
    return number


def _close(listeners: list[socket.socket]) -> None:
    for listener in listeners:
        listener.close()
