"""
One target, probed from many source ports at the same time.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from echotwist.probe.events import Event
from echotwist.probe.session import Session


class Times:
    """
    How long the probe of each port took in each round (pure).

    Times by the kernel's stamps and by the clock of this process are not compared.

    :param ports: how many there are.
    :param rounds: how many there are.
    """

    def __init__(self, ports: int, rounds: int) -> None:
        self._ports, self._rounds = ports, rounds
        self._times = {clock: array("q", [-1]) * (ports * rounds) for clock in ("kernel", "user")}
        self._count = dict.fromkeys(self._times, 0)

    def add(self, port: int, round: int, took: int, clock: str) -> None:
        """
        Take one.

        :param took: nanoseconds.
        :param clock: ``kernel`` or ``user``.
        """
        self._times[clock][round * self._ports + port] = took
        self._count[clock] += 1

    @property
    def clock(self) -> str:
        """
        The clock of most of them.
        """
        return (
            max(self._count, key=self._count.__getitem__) if any(self._count.values()) else "user"
        )

    def rounds(self) -> list[list[int | None]]:
        """
        Give those by that clock, round by round.
        """
        times, ports = self._times[self.clock], self._ports
        return [
            [None if took < 0 else took for took in times[start : start + ports]]
            for start in range(0, ports * self._rounds, ports)
        ]


class PortSession(Session):
    """
    Probe a target from one port; see :class:`echotwist.probe.session.Session`.
    """

    def open(self) -> Deferred[Any]:
        """
        Open the transport.

        :return: fires when probes can be sent, or cannot.
        """
        self.transport.start(self)
        ready: Deferred[Any] = self.transport.ready(self._timeout)
        return ready

    def begin(self) -> None:
        """
        Begin to send.
        """
        self._begin(None)


class Bundle:
    """
    Probe a target from many ports; each is a session of its own.

    :param sessionOf: makes the session of a port, by its number; it tells what becomes of
        each probe.
    :param ports: how many there are.
    :param rounds: probes from each.
    :ivar finished: fires when all is known.
    """

    def __init__(
        self,
        sessionOf: Callable[[int, Callable[[Event], None]], PortSession],
        ports: int,
        rounds: int,
    ) -> None:
        self.times = Times(ports, rounds)
        self.sessions: Sequence[PortSession] = [
            sessionOf(port, partial(self._heard, port)) for port in range(ports)
        ]
        self.finished: Deferred[Any] = gatherResults([one.finished for one in self.sessions])

    def start(self) -> None:
        """
        Open all, then send.
        """
        gatherResults([one.open() for one in self.sessions]).addCallback(self._begin)

    def _begin(self, _: object) -> None:
        for one in self.sessions:
            one.begin()

    def finish(self) -> None:
        """
        End, whatever is still under way.
        """
        for one in self.sessions:
            one.finish()

    def _heard(self, port: int, event: Event) -> None:
        if event.outcome == "back" and event.rtt is not None and event.clock is not None:
            rounds: Any = self.sessions[port].schedule
            self.times.add(port, rounds.rounds[event.number - 1], event.rtt, event.clock)
