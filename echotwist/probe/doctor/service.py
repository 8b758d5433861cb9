"""
The service that a check examines, and the sockets that the check opened.
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
from echotwist.reactors import IReactor


@frozen
class Case:
    """
    A service, and how to reach it.

    :param reactor: waits.
    :param places: all addresses of the target; checks talk to the first.
    :param creator: makes the client's side of TLS, for a TLS target.
    """

    reactor: IReactor
    target: Target
    places: tuple[Place, ...]
    way: Way
    limits: Limits
    creator: Any = None


@define
class Service:
    """
    A service during one check.

    :param case: the service.
    """

    case: Case
    _open: list[Callable[[], None]] = field(factory=list)

    @property
    def limits(self) -> Limits:
        """
        The limits of checks.
        """
        return self.case.limits

    async def connect(self, room: int = 0, place: Place | None = None) -> Connection:
        """
        Connect to the service.

        :param room: bytes of a small receive buffer; 0 for the default.
        :param place: another address of the service.
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
        Open a socket for datagrams to the service.

        :param place: another address of the service.
        :param isConnected: accept replies from that address only.
        """
        case = self.case
        place = place or case.places[0]
        one = Mailbox(case.reactor, opened(case.target, place, case.way, isConnected), place)
        self._open.append(one.close)
        return one

    def addresses(self) -> list[Place]:
        """
        Return all addresses by which the service may be reached: those of its name, and on
        loopback some more addresses of this host.
        """
        found = list(self.case.places)
        first = found[0].address
        if found[0].family == socket.AF_INET and first[0].startswith("127."):
            more = [Place(socket.AF_INET, (f"127.0.0.{n}", first[1])) for n in (1, 2, 77)]
            found += [place for place in more if place not in found]
        return found

    def close(self) -> None:
        """
        Close all sockets of the check.
        """
        for close in self._open:
            close()
        self._open.clear()


def needs(isThere: bool, reason: str) -> None:
    """
    Require a condition of a check.

    :raise NotApplicable: it is not met.
    """
    if not isThere:
        raise NotApplicable(reason)
