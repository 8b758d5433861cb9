"""
The service that a check looks at, and all that was opened to do so.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen

from echotwist.probe.dialing import opened
from echotwist.probe.doctor.connection import Connection
from echotwist.probe.doctor.findings import Limits, NotApplicable
from echotwist.probe.doctor.mailbox import Mailbox
from echotwist.probe.places import Place, Way
from echotwist.probe.target import Target


@frozen
class Case:
    """
    One service, and how it is to be looked at.

    :param reactor: waits.
    :param places: all addresses of the target; the first is the one that is talked to.
    :param creator: makes the client's side of TLS, if it is that.
    """

    reactor: Any
    target: Target
    places: tuple[Place, ...]
    way: Way
    limits: Limits
    creator: Any = None


@define
class Service:
    """
    A service as one check sees it.

    :param case: which service.
    """

    case: Case
    _open: list[Callable[[], None]] = field(factory=list)

    @property
    def limits(self) -> Limits:
        """
        How far checks go.
        """
        return self.case.limits

    async def connect(self, room: int = 0, place: Place | None = None) -> Connection:
        """
        Connect to it.

        :param room: bytes for which there is room to receive, if there should be little.
        :param place: another of its addresses.
        """
        place = place or self.case.places[0]
        one = self._connection(place)
        self._open.append(one.close)
        if room:
            one.narrow(room)
        await one.open(place)
        return one

    def _connection(self, place: Place) -> Connection:
        case = self.case
        one = opened(case.target, place, case.way)
        if case.creator is None:
            return Connection(case.reactor, one, case.limits.answer)
        from echotwist.probe.doctor.secure import SecureConnection

        return SecureConnection(case.reactor, one, case.limits.answer, case.creator)

    def mailbox(self, place: Place | None = None, isConnected: bool = True) -> Mailbox:
        """
        Open a socket to send it datagrams.

        :param place: another address.
        :param isConnected: take replies from that address alone.
        """
        case = self.case
        place = place or case.places[0]
        one = Mailbox(case.reactor, opened(case.target, place, case.way, isConnected), place)
        self._open.append(one.close)
        return one

    def addresses(self) -> list[Place]:
        """
        Give all addresses by which it may be asked: those of its name, and on loopback
        some more of this host.
        """
        found = list(self.case.places)
        first = found[0].address
        if found[0].family == socket.AF_INET and first[0].startswith("127."):
            more = [Place(socket.AF_INET, (f"127.0.0.{n}", first[1])) for n in (1, 2, 77)]
            found += [place for place in more if place not in found]
        return found

    def close(self) -> None:
        """
        Close all that was opened.
        """
        for close in self._open:
            close()
        self._open.clear()


def needs(isThere: bool, reason: str) -> None:
    """
    See that a check can be made.

    :raise NotApplicable: it cannot.
    """
    if not isThere:
        raise NotApplicable(reason)
