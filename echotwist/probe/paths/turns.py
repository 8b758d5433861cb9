"""
Schedule the turns of several ports (pure).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from random import Random

from echotwist.probe.schedule import Schedule


class Origin:
    """
    The common start of several schedules.
    """

    def __init__(self) -> None:
        self._at: int | None = None

    def first(self, now: int) -> int:
        """
        Return the start; the first call sets it to ``now``.
        """
        self._at = now if self._at is None else self._at
        return self._at


class Turns(Schedule):
    """
    The turns of one port: one in each round, at a place that differs from round to round; see
    :class:`echotwist.probe.schedule.Schedule`.

    :param each: nanoseconds from one port's turn to the next port's turn.
    :param ports: how many ports there are.
    :param places: the place of this port in each round.
    :param origin: the start, the same for all ports.
    :ivar rounds: the rounds of the turns so far, one for each probe.

    A turn that is late by more than a round is skipped: a port that sends several probes at
    once may lose all of them, and would look like a bad port.
    """

    stale = 0

    def __init__(self, each: float, ports: int, places: Sequence[int], origin: Origin) -> None:
        self._each, self._places, self._origin = each, places, origin
        self.rounds = array("q")
        super().__init__(each * ports, len(places), each * ports * len(places))

    def begin(self, now: int) -> None:
        """
        Start.
        """
        super().begin(self._origin.first(now))

    def _next(self) -> int | None:
        at = super()._next()
        return None if at is None else at + round(self._each * self._places[self._turn])

    def due(self, now: int) -> int | None:
        """
        Take the next turn, if it is due.
        """
        at = super().due(now)
        # To skip turns the base class calls this method again.
        if at is not None and self._turn - 1 not in self.rounds[-1:]:
            self.rounds.append(self._turn - 1)
        return at


def shuffled(ports: int, rounds: int, seed: str) -> list[array[int]]:
    """
    Put the ports in a different order in each round, so that no port always sends first.

    :return: for each port, its place in each round.
    """
    random, order = Random(seed), list(range(ports))
    found = [array("l") for _ in range(ports)]
    for _ in range(rounds):
        random.shuffle(order)
        for place, port in enumerate(order):
            found[port].append(place)
    return found
