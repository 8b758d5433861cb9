"""
When each of several ports has its turn (pure).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from random import Random

from echotwist.probe.schedule import Schedule


class Origin:
    """
    When the first of several schedules began.
    """

    def __init__(self) -> None:
        self._at: int | None = None

    def first(self, now: int) -> int:
        """
        Tell it; it is now if nobody has begun.
        """
        self._at = now if self._at is None else self._at
        return self._at


class Turns(Schedule):
    """
    One port's turns: one in each round, at a place that differs from round to round; see
    :class:`echotwist.probe.schedule.Schedule`.

    :param each: nanoseconds from one port's turn to the next port's.
    :param ports: how many there are.
    :param places: of this port, in each round.
    :param origin: the same for all ports.
    Turns that are late by more than a round are left out: a port that sends several probes
    at once loses them at once, and would be taken for a bad one.

    :ivar rounds: those in which it was this port's turn, one for each probe.
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
        # Where turns are left out, that one calls this one.
        if at is not None and self._turn - 1 not in self.rounds[-1:]:
            self.rounds.append(self._turn - 1)
        return at


def shuffled(ports: int, rounds: int, seed: str) -> list[array[int]]:
    """
    Put ports in another order in each round: no port is always the first of a burst.

    :return: of each port its places.
    """
    random, order = Random(seed), list(range(ports))
    found = [array("l") for _ in range(ports)]
    for _ in range(rounds):
        random.shuffle(order)
        for place, port in enumerate(order):
            found[port].append(place)
    return found
