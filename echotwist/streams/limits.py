"""
Whom a stream echo serves, and how long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from ipaddress import ip_address
from time import monotonic
from typing import Generic, TypeVar

from echotwist.sockets.access import Access
from echotwist.sockets.addresses import peerNetwork, unmapped

#: How often those who are watched are looked at, for each time they have.
LOOKS = 8

Watched = TypeVar("Watched", bound=Hashable)


class Limits:
    """
    Decide for each new connection whether it is served.

    :param most: connections at a time; ``None`` for no limit.  May change.
    :param mostPerPeer: connections of one peer (an IPv4 address, or a /64 of
        IPv6) at a time; ``None`` for no limit.
    :param access: says which addresses are served; ``None`` for all.
    """

    def __init__(
        self,
        most: int | None = None,
        mostPerPeer: int | None = None,
        access: Access | None = None,
    ) -> None:
        self.most = most
        self._mostPerPeer = mostPerPeer
        self._access = access
        self._all = 0
        self._ofPeer: Counter[str] = Counter()

    def objection(self, host: str | None) -> str:
        """
        Say why a newcomer must not be served, or nothing.

        :param host: its address; ``None`` while nobody knows, and nothing if it has
            none, as on UNIX sockets.
        """
        if host and self._access is not None and (reason := self._access.objection(host)):
            return reason
        if self.most is not None and self._all >= self.most:
            return "too many connections"
        if host is None or self._mostPerPeer is None:
            return ""
        if self._ofPeer[_peer(host)] >= self._mostPerPeer:
            return "too many connections of one peer"
        return ""

    def opened(self, host: str | None) -> None:
        """
        Count a connection.
        """
        self._all += 1
        if self._mostPerPeer is not None and host is not None:
            self._ofPeer[_peer(host)] += 1

    def closed(self, host: str | None) -> None:
        """
        Count a connection that is gone.
        """
        self._all -= 1
        if self._mostPerPeer is not None and host is not None:
            peer = _peer(host)
            self._ofPeer[peer] -= 1
            if not self._ofPeer[peer]:
                del self._ofPeer[peer]


def _peer(host: str) -> str:
    try:
        return peerNetwork(ip_address(unmapped(host)))
    except ValueError:
        return host


class Patience(Generic[Watched]):
    """
    Notice who has not moved on for a time.

    :param seconds: how long.
    :param clock: tells the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._seen: dict[Watched, tuple[int, float]] = {}

    def lost(self, marks: Mapping[Watched, int]) -> list[Watched]:
        """
        Look at all of them, and give those who stood still for the time.

        :param marks: how far each has come.  A mark that falls is no step
            forward, but the next step is counted from there.  Who is no longer
            among them is forgotten.
        """
        now = self._clock()
        before, self._seen = self._seen, {}
        for one, mark in marks.items():
            sawMark, since = before.get(one, (mark, now))
            self._seen[one] = (mark, since if mark <= sawMark else now)
        return [one for one, (_, since) in self._seen.items() if now - since >= self.seconds]

    def forget(self, one: Watched) -> None:
        """
        Forget somebody who is gone.
        """
        self._seen.pop(one, None)
