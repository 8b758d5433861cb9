"""
Find the outcome of each probe in one or two captures (pure).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from attrs import define, field

from echotwist.probe.explain.packets import Datagram
from echotwist.probe.payload import HEAD, HEADER, Payload, headOf

#: Numbers of probes at the most, and nanoseconds by which the clocks of the host that
#: sends and of that which captures may differ: what is beyond is no probe.
_HIGHEST, _APART = 2**40, 86400 * 10**9

#: A probe is known by its number, and the time when it was sent.
Key = tuple[int, int]

#: Address and port of an end of a flow.
End = tuple[str, int]


@define
class Sight:
    """
    One probe in one capture.

    :ivar passed: the time of its first packet between each pair of ends.
    :ivar twice: how many more packets of it there were.
    """

    kind: str
    passed: dict[tuple[End, End], int] = field(factory=dict)
    twice: Counter[tuple[End, End]] = field(factory=Counter)


class View:
    """
    The probes in one capture.

    :param payload: knows our probes by their seed, if that is known.
    :ivar tooShort: datagrams of which too little was captured to know whether they are probes.
    :ivar probes: how many datagrams are probes.
    """

    def __init__(self, payload: Payload | None = None) -> None:
        self._payload = payload
        self._sights: dict[Key, Sight] = {}
        self.tooShort = self.probes = 0

    def see(self, at: int, datagram: Datagram) -> None:
        """
        Take a captured datagram.
        """
        if (key := self._keyOf(at, datagram)) is None:
            return
        self.probes += 1
        sight = self._sights.setdefault(key, Sight(datagram.kind))
        ends = datagram.source, datagram.target
        if ends in sight.passed:
            sight.twice[ends] += 1
        else:
            sight.passed[ends] = at

    def _keyOf(self, at: int, datagram: Datagram) -> Key | None:
        head = datagram.head
        if len(head) < HEAD:
            self.tooShort += datagram.isShort
            return None
        number, sentAt = headOf(head)
        assert sentAt is not None
        if not 0 < number < _HIGHEST or abs(sentAt - at) > _APART:
            return None
        if self._payload is not None and len(head) >= HEADER and not self._payload.isOurs(head):
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
            first = min(sight.passed, key=lambda ends: sight.passed[ends])
            weight = 1000 if len(sight.passed) > 1 else 1
            votes.setdefault(frozenset(first), Counter())[first[1]] += weight
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
    for ends, at in sight.passed.items():
        isThere = ends[1] in services
        found.service = ends[1] if isThere else ends[0]
        if isThere:
            found.there = at
        else:
            found.back = at
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
