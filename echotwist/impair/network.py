"""
A simulated bad network between a datagram echo and its peers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any

from attrs import define, frozen

from echotwist.impair.chance import Chance
from echotwist.impair.grammar import Effect, Impairments

#: Bytes that may be under way, and the memory of a datagram besides its content.
HELD_BYTES, OVERHEAD = 16_777_216, 512

#: How many peers are remembered; a forgotten peer counts as new when it comes back.
PEERS = 4096


@define(eq=False)
class Path:
    """
    The path to one peer.

    :param number: the peer's number, in the order in which peers came.
    :ivar asked: the number of datagrams so far.
    :ivar isBad: the model of loss is in its bad state.
    :ivar free: when the last datagram will have left, at the limited rate.
    :ivar newest: the number of the newest datagram that has left.
    """

    number: int
    asked: int = 0
    isBad: bool = False
    free: float = -inf
    newest: int = 0


@frozen(eq=False)
class UnderWay:
    """
    A delayed datagram that has not left yet.

    :param number: its number among those to its peer; 0 for a copy.
    :param rest: what the port needs besides to send it.
    """

    path: Path
    number: int
    datagram: bytes
    rest: Any


class Network:
    """
    Decide for each datagram whether it leaves, when, how often and how damaged.

    Each peer has a path of its own: what happens to its n-th datagram depends on the
    seed, on how many peers there were before it, and on nothing that others do.

    :param impairments: the impairments to apply.
    :param name: the name of the transport.
    :param counts: the counts of effects, which this class increases.
    """

    def __init__(self, impairments: Impairments, name: str, counts: Counter[Effect]) -> None:
        self._chosen = impairments
        self._name = name
        self._counts = counts
        self._paths: dict[Any, Path] = {}
        self._peers = self._held = 0
        self._underWay: list[tuple[float, int, UnderWay]] = []
        self._order = count()

    def put(self, now: float, datagram: bytes, peer: Any, rest: Any = None) -> None:
        """
        Take a datagram.

        :param now: seconds.
        :param peer: the peer that it goes to.
        :param rest: what the port needs besides to send it.
        """
        path = self._pathTo(peer)
        path.asked += 1
        chance = Chance(f"{self._chosen.seed}/{self._name}/{path.number}/{path.asked}")
        if self._isLost(path, chance):
            self._note("lost")
            return
        isTwice = chance.happens(self._chosen.duplicate)
        when = self._departure(path, now, len(datagram), chance)
        for number in (path.asked, 0)[: 1 + isTwice]:
            if self._held + len(datagram) + OVERHEAD > HELD_BYTES:
                self._note("dropped")
                continue
            self._note("duplicated", not number)
            self._note("delayed", when > now)
            one = UnderWay(path, number, self._damaged(datagram, chance), (peer, rest))
            self._held += len(one.datagram) + OVERHEAD
            heappush(self._underWay, (when, next(self._order), one))

    def due(self, now: float) -> Iterator[tuple[bytes, Any, Any]]:
        """
        Return the datagrams that leave by now, in order, each with its peer and the rest.
        """
        while self._underWay and self._underWay[0][0] <= now:
            one = heappop(self._underWay)[2]
            self._held -= len(one.datagram) + OVERHEAD
            if 0 < one.number < one.path.newest:
                self._note("reordered")
            one.path.newest = max(one.path.newest, one.number)
            yield one.datagram, *one.rest

    @property
    def next(self) -> float | None:
        """
        Return when the next datagram leaves, if there is one.
        """
        return self._underWay[0][0] if self._underWay else None

    def drop(self) -> None:
        """
        Drop the datagrams under way.
        """
        self._note("dropped", len(self._underWay))
        self._underWay.clear()
        self._held = 0

    def _pathTo(self, peer: Any) -> Path:
        path = self._paths.pop(peer, None)
        if path is None:
            path = Path(self._peers)
            self._peers += 1
            if len(self._paths) >= PEERS:
                del self._paths[next(iter(self._paths))]
        self._paths[peer] = path
        return path

    def _isLost(self, path: Path, chance: Chance) -> bool:
        loss = self._chosen.loss
        isLost = chance.happens(loss.inBad if path.isBad else loss.inGood)
        path.isBad ^= chance.happens(loss.toGood if path.isBad else loss.toBad)
        return isLost

    def _departure(self, path: Path, now: float, size: int, chance: Chance) -> float:
        chosen = self._chosen
        isAhead = chance.happens(chosen.reorder)
        delay = max(0.0, chosen.delay + chance.deviation(chosen.jitter))
        path.free = max(path.free, now) + 8 * size / chosen.rate
        return now if isAhead else path.free + delay

    def _damaged(self, datagram: bytes, chance: Chance) -> bytes:
        cut = chance.cut(datagram, self._chosen.truncate)
        flipped, bits = chance.flip(cut, self._chosen.corrupt)
        self._note("truncated", len(cut) < len(datagram))
        self._note("corrupted", bits > 0)
        self._note("corrupted", bits, "bits")
        return flipped

    def _note(self, what: str, times: int = 1, unit: str = "datagrams") -> None:
        if times:
            self._counts[unit, what] += times
