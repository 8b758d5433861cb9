"""
Probe one target from many source ports at the same time.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.python import log

from echotwist.probe.events import Event
from echotwist.probe.session import Session


class Times:
    """
    The round trip of each port's probe in each round (pure).

    Times by the kernel's timestamps and by this process' clock are not compared.

    :param ports: how many ports there are.
    :param rounds: how many rounds there are.
    """

    def __init__(self, ports: int, rounds: int) -> None:
        self._ports, self._rounds = ports, rounds
        self._times = {clock: array("q", [-1]) * (ports * rounds) for clock in ("kernel", "user")}
        self._count = dict.fromkeys(self._times, 0)

    def add(self, port: int, round: int, took: int, clock: str) -> None:
        """
        Note a round trip.

        :param took: nanoseconds.
        :param clock: ``kernel`` or ``user``.
        """
        self._times[clock][round * self._ports + port] = took
        self._count[clock] += 1

    @property
    def clock(self) -> str:
        """
        The clock that measured most of the round trips.
        """
        return (
            max(self._count, key=self._count.__getitem__) if any(self._count.values()) else "user"
        )

    def rounds(self) -> list[list[int | None]]:
        """
        Return the round trips by that clock, one list for each round.
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

        :return: a ``Deferred`` that fires when probes can be sent, or when opening has failed.
        """
        self.transport.start(self)
        ready: Deferred[Any] = self.transport.ready(self._timeout)
        return ready

    def begin(self) -> None:
        """
        Start sending.
        """
        self._begin(None)


class Bundle:
    """
    Probe a target from many ports, with one session for each.

    :param sessionOf: makes the session of a port from its number and a callback for the outcome
        of each probe.
    :param ports: how many ports there are.
    :param rounds: how many probes each port sends.
    :ivar finished: a ``Deferred`` that fires when all sessions have ended.
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
        Open all sessions, then start sending.
        """
        opened = gatherResults([one.open() for one in self.sessions])
        # An error there ends the program.
        opened.addCallback(self._begin).addErrback(lambda why: log.err(why))

    def _begin(self, _: object) -> None:
        for one in self.sessions:
            one.begin()

    def finish(self) -> None:
        """
        End at once, even if replies are outstanding.
        """
        for one in self.sessions:
            one.finish()

    def _heard(self, port: int, event: Event) -> None:
        if event.outcome == "back" and event.rtt is not None and event.clock is not None:
            rounds: Any = self.sessions[port].schedule
            self.times.add(port, rounds.rounds[event.number - 1], event.rtt, event.clock)
