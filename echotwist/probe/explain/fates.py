"""
Find the outcome of each probe in one or two captures (pure).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from attrs import define, field

from echotwist.probe.explain.packets import Datagram
from echotwist.probe.payload import HEAD, HEADER, Payload, headOf

#: The highest number of a probe, and nanoseconds by which the clocks of the sending and the
#: capturing host may differ: a datagram beyond these limits is not a probe.
_HIGHEST, _APART = 2**40, 86400 * 10**9

#: Nanoseconds since 1970 when probes may have been sent: from 2001 to 2096.
_ERA = range(10**18, 4 * 10**18)

#: A probe is known by its number, and the time when it was sent.
Key = tuple[int, int]

#: Address and port of an end of a flow.
End = tuple[str, int]


@define
class Sight:
    """
    One probe in one capture.

    :ivar passed: the time of its first packet between each pair of ends.
    :ivar places: these ends, and the network interface.
    :ivar twice: how many more packets of it there were at a place.
    """

    kind: str
    passed: dict[tuple[End, End], int] = field(factory=dict)
    places: set[tuple[tuple[End, End], object]] = field(factory=set)
    twice: Counter[tuple[End, End]] = field(factory=Counter)


class View:
    """
    The probes in one capture.

    :param payload: knows our probes by their seed, if that is known.
    :ivar tooShort: datagrams of which too little was captured to know whether they are probes.
    :ivar misdated: datagrams that seem to be probes of another time.
    :ivar probes: how many datagrams are probes.
    """

    def __init__(self, payload: Payload | None = None) -> None:
        self._payload = payload
        self._sights: dict[Key, Sight] = {}
        self.tooShort = self.misdated = self.probes = 0

    def see(self, at: int, datagram: Datagram, where: object = None) -> None:
        """
        Take a captured datagram.

        :param where: its network interface: on another one it is the same datagram, on its
            way through this host.
        """
        if (key := self._keyOf(at, datagram)) is None:
            return
        self.probes += 1
        sight = self._sights.setdefault(key, Sight(datagram.kind))
        ends = datagram.source, datagram.target
        sight.passed.setdefault(ends, at)
        sight.twice[ends] += (ends, where) in sight.places
        sight.places.add((ends, where))

    def _keyOf(self, at: int, datagram: Datagram) -> Key | None:
        head = datagram.head
        if len(head) < HEAD:
            self.tooShort += datagram.isShort
            return None
        number, sentAt = headOf(head)
        assert sentAt is not None
        if not 0 < number < _HIGHEST:
            return None
        if self._payload is not None and len(head) >= HEADER:
            return (number, sentAt) if self._payload.isOurs(head) else None
        if abs(sentAt - at) > _APART:
            self.misdated += sentAt in _ERA
            return None
        return number, sentAt

    def passages(self) -> dict[Key, Passage]:
        """
        Return for each probe when it went to the service, and when its reply came from there.
        """
        services = self._services()
        return {key: _passage(sight, services) for key, sight in self._sights.items()}

    def _services(self) -> set[End]:
        """
        Find out which ends are services: a probe goes there before its reply comes.
        """
        votes: dict[frozenset[End], Counter[End]] = {}
        for sight in self._sights.values():
            # On both sides of a NAT a probe has other ends.
            for pair in set(map(frozenset, sight.passed)):
                some = [ends for ends in sight.passed if frozenset(ends) == pair]
                first = min(some, key=sight.passed.__getitem__)
                votes.setdefault(pair, Counter())[first[1]] += 1000 if len(some) > 1 else 1
        return {counted.most_common(1)[0][0] for counted in votes.values()}


@define
class Passage:
    """
    When a probe passed by.

    :ivar kind: of it.
    :ivar service: where it went.
    :ivar there: when it passed by on its way there; nothing if that was not seen.
    :ivar back: when its reply did.
    :ivar twice: how often it passed by again, and its reply.
    """

    kind: str
    service: End
    there: int | None = None
    back: int | None = None
    twice: tuple[int, int] = (0, 0)

    @property
    def took(self) -> int:
        """
        How long it took until the reply came, where both were seen.
        """
        return (self.back or 0) - (self.there or 0)


def _passage(sight: Sight, services: set[End]) -> Passage:
    found = Passage(sight.kind, next(iter(sight.passed))[1])
    again = [0, 0]
    for ends, at in sorted(sight.passed.items(), key=lambda one: -one[1]):
        # What passes several places in one capture was first there, and last back.
        if isThere := ends[1] in services:
            found.service, found.there = ends[1], at
        elif found.back is None:
            found.back = at
            found.service = ends[0]
        again[not isThere] += sight.twice[ends]
    found.twice = again[0], again[1]
    return found


def median(values: Iterable[int]) -> int | None:
    """
    Return the median, if there are values.
    """
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else None


def _answered(passages: Mapping[Key, Passage]) -> set[Key]:
    """
    Return the probes that were captured on both ways.
    """
    return {key for key, one in passages.items() if one.there is not None and one.back is not None}


def isClientFirst(one: Mapping[Key, Passage], other: Mapping[Key, Passage]) -> bool:
    """
    Tell which of two captures is of the client's end, whatever their clocks: there it takes
    longer until a reply comes, and more probes are seen.
    """
    longer = median(one[key].took - other[key].took for key in _answered(one) & _answered(other))
    if longer:
        return longer > 0
    sent = [sum(p.there is not None for p in some.values()) for some in (one, other)]
    back = [sum(p.back is not None for p in some.values()) for some in (one, other)]
    return (sent[0], -back[0]) >= (sent[1], -back[1])
