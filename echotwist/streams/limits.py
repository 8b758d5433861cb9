"""
The limits that decide which connections a stream echo serves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sized
from ipaddress import ip_address

from echotwist.sockets.access import Access
from echotwist.sockets.addresses import peerNetwork, unmapped


class Limits:
    """
    Decide for each new connection whether it is served.

    :param most: connections at a time; ``None`` for no limit.  It may be changed later.
    :param mostPerPeer: connections of one peer (an IPv4 address, or a /64 of
        IPv6) at a time; ``None`` for no limit.
    :param access: decides which addresses are served; ``None`` for all.
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
        #: The decision depends on the peer's address.
        self.byPeer = access is not None or mostPerPeer is not None
        self._all = 0
        #: The bare connections of each port, which count by being there.
        self.bare: list[Sized] = []
        self._ofPeer: Counter[str] = Counter()

    def refusal(self, host: str | None) -> str:
        """
        Return why a connection must not be served; an empty text if it may be.

        :param host: the peer's address; ``None`` while it is unknown, and empty if it has
            none, as on UNIX sockets.
        """
        if host and self._access is not None and (reason := self._access.refusal(host)):
            return reason
        if not self.hasRoom(1):
            return "too many connections"
        if host is None or self._mostPerPeer is None:
            return ""
        if self._ofPeer[_networkText(host)] >= self._mostPerPeer:
            return "too many connections of one peer"
        return ""

    def hasRoom(self, count: int) -> bool:
        """
        Tell whether so many more connections may be served, whoever their peers are.
        """
        return self.most is None or self._all + sum(map(len, self.bare)) + count <= self.most

    def opened(self, host: str | None) -> None:
        """
        Count a connection.
        """
        self._all += 1
        self.openedBare(host)

    def openedBare(self, host: str | None) -> None:
        """
        Count a connection for its peer alone.
        """
        if self._mostPerPeer is not None and host is not None:
            self._ofPeer[_networkText(host)] += 1

    def closed(self, host: str | None) -> None:
        """
        Count a connection that is closed.
        """
        self._all -= 1
        self.closedBare(host)

    def closedBare(self, host: str | None) -> None:
        """
        Count a closed connection for its peer alone.
        """
        if self._mostPerPeer is not None and host is not None:
            peer = _networkText(host)
            self._ofPeer[peer] -= 1
            if not self._ofPeer[peer]:
                del self._ofPeer[peer]


def _networkText(host: str) -> str:
    try:
        return peerNetwork(ip_address(unmapped(host)))
    except ValueError:
        return host
