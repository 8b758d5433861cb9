"""
Measure the path of a stream: how large its segments are, and whether full ones pass.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Protocol

from attrs import define

from echotwist.probe.doctor.connection import Connection
from echotwist.probe.doctor.findings import Wrong
from echotwist.probe.mtu.info import Info, infoOf
from echotwist.probe.mtu.path import BACK, BOTH, THERE
from echotwist.probe.mtu.search import Search
from echotwist.probe.places import Place
from echotwist.probe.waiting import pause
from echotwist.reactors import IReactor
from echotwist.sockets.options import setLinger

#: Bytes of the IP and TCP headers; then the smallest MTU that a path should have (RFC 879;
#: RFC 8200, section 5).
_HEADERS = {socket.AF_INET: 40, socket.AF_INET6: 60}
_LEAST = {socket.AF_INET: 576, socket.AF_INET6: 1280}

#: Bytes that are echoed first, and how many full segments are sent after that.
_SMALL, _SEGMENTS = 64, 4

#: Seconds without any byte after which full segments count as lost: TCP retransmits after
#: 0.2 s and more (RFC 6298).  The first connection waits longer, as the host may be slow.
_WAIT, _FIRST_WAIT = 0.3, 0.5

#: ``TCP_MAXSEG`` of tcp(7).
_MAXSEG = getattr(socket, "TCP_MAXSEG", 2)

#: How many connections in a row must fail before a size counts as lost; each of them has
#: retransmitted its segments several times.
_TRIES = 1


@define(eq=False)
class Flow:
    """
    One connection.

    :param number: its number, from 1 on.
    :param size: bytes of the largest packet that the kernel may send; 0 for its own choice.
    :ivar isOpen: the first few bytes came back.
    :ivar isWhole: full segments came back, too.
    :ivar before: ``TCP_INFO`` before full segments were sent.
    :ivar after: ``TCP_INFO`` after that.
    :ivar sent: bytes sent.
    :ivar took: nanoseconds from the connect to the end.
    :ivar reason: the error, if there was one.
    :ivar source: the local address.
    """

    number: int
    size: int = 0
    isOpen: bool = False
    isWhole: bool = False
    before: Info | None = None
    after: Info | None = None
    sent: int = 0
    took: int = 0
    reason: str = ""
    source: Any = None

    @property
    def side(self) -> str | None:
        """
        The way on which segments got lost, as the peer's acknowledgements show; ``None`` if
        unknown.
        """
        if self.after is None:
            return None
        return THERE if self.after.unacknowledged else BACK


class IDialer(Protocol):
    """
    Opens connections one by one; see :class:`Dialer`.
    """

    @property
    def family(self) -> int:
        """
        The address family of the path.
        """

    async def tried(self, number: int, size: int, wait: float) -> Flow:
        """
        Open a connection, and test whether full segments pass.
        """


class Dialer:
    """
    Open connections one by one. Each carries little, and is reset at the end.

    :param reactor: waits.
    :param open: opens a stream socket.
    :param place: the address of the service.
    :param timeout: seconds to wait for a connection.
    :param pace: seconds from one connection to the next.
    """

    def __init__(
        self,
        reactor: IReactor,
        open: Callable[[], socket.socket],
        place: Place,
        timeout: float,
        pace: float = 0.0,
    ) -> None:
        self._reactor = reactor
        self._open, self._place = open, place
        self._timeout, self._pace = timeout, pace
        self._current: Connection | None = None

    @property
    def family(self) -> int:
        """
        The address family of the path.
        """
        return self._place.family

    async def tried(self, number: int, size: int, wait: float) -> Flow:
        """
        Open a connection, and test whether full segments pass.

        :param size: bytes of the largest packet; 0 for the kernel's own choice.
        :param wait: seconds without any byte after which full segments count as lost.
        """
        if self._pace and number > 1:
            await pause(self._reactor, self._pace)
        flow, began = Flow(number, size), monotonic_ns()
        one = self._open()
        connection = Connection(self._reactor, one, self._timeout)
        self._current = connection
        try:
            if size:
                header = _HEADERS[socket.AddressFamily(self.family)]
                one.setsockopt(socket.IPPROTO_TCP, _MAXSEG, size - header)
            await self._fill(flow, one, connection, wait)
        except (Wrong, OSError) as error:
            flow.reason = str(error)
            flow.after = infoOf(one) if flow.isOpen else None
        finally:
            setLinger(one, 0)  # Without it the kernel retransmits for minutes.
            self.close()
        flow.took = monotonic_ns() - began
        return flow

    async def _fill(
        self, flow: Flow, one: socket.socket, connection: Connection, wait: float
    ) -> None:
        await connection.open(self._place)
        flow.source = one.getsockname()
        await connection.send(bytes(_SMALL))
        await connection.receive(_SMALL)
        flow.isOpen, flow.before = True, infoOf(one)
        mss = flow.before.mss if flow.before else one.getsockopt(socket.IPPROTO_TCP, _MAXSEG)
        connection.patience = wait + 4 * connection.connected
        flow.sent = _SMALL + await connection.offer(bytes(_SEGMENTS * mss), connection.patience)
        got = len(await connection.receive(flow.sent - _SMALL))
        flow.isWhole, flow.after = got == flow.sent - _SMALL, infoOf(one)

    def close(self) -> None:
        """
        Close the socket that is open.
        """
        if self._current is not None:
            self._current.close()
            self._current = None


class StreamPath:
    """
    Find whether full segments pass, and if not, the largest that do.

    :param dialer: opens connections.
    :ivar flows: all connections, in order.
    :ivar search: the search for the packet size that passes; ``None`` if full segments pass.
    """

    def __init__(self, dialer: IDialer) -> None:
        self._dialer = dialer
        family = socket.AddressFamily(dialer.family)
        self._header, self._least = _HEADERS[family], _LEAST[family]
        self.flows: list[Flow] = []
        self.search: Search | None = None
        self._most = 0

    async def measure(self) -> None:
        """
        Measure the path.
        """
        first = await self._try(0, _FIRST_WAIT)
        if first.isWhole or not first.isOpen or first.before is None:
            return
        self._most = most = self.sizeOf(first.before)
        self.search = Search(min(self._least, most), most, _TRIES)
        self.search.missed(most)
        while (size := self.search.next()) is not None:
            self._hear(self.search, await self._try(size, _WAIT))

    async def _try(self, size: int, wait: float) -> Flow:
        flow = await self._dialer.tried(len(self.flows) + 1, size, wait)
        self.flows.append(flow)
        return flow

    def sizeOf(self, info: Info) -> int:
        """
        Return the bytes of a packet with a full segment.
        """
        return info.mss + self._header

    def _hear(self, search: Search, flow: Flow) -> None:
        if not flow.isWhole:
            search.missed(flow.size)
            return
        carried = self.sizeOf(flow.after) if flow.after else flow.size
        if carried < flow.size:  # The peer's MSS, or ICMP, made the kernel send smaller ones.
            search.limit(carried)
        search.answered(min(carried, flow.size))

    def lostOn(self, side: str) -> int | None:
        """
        Return the smallest packet whose segments got lost on a way, if any did.
        """
        return min((one.size or self._most for one in self._lost(side)), default=None)

    def arrivedBy(self, side: str) -> int:
        """
        Return the largest packet whose segments got lost on a way.  Those lost on the way back
        had arrived at the service: it acknowledged them.
        """
        return max((one.size or self._most for one in self._lost(side)), default=0)

    def _lost(self, side: str) -> list[Flow]:
        search = self.search
        if search is None or (search.passed and not search.isHole):
            return []
        return [
            one
            for one in self.flows
            if one.isOpen
            and not one.isWhole
            and one.side == side
            # A loss of smaller segments was by chance.
            and not 0 < one.size < search.above
        ]

    @property
    def hole(self) -> str | None:
        """
        The way on which full segments get lost, if they do.
        """
        sides = [side for side in (THERE, BACK) if self._lost(side)]
        return BOTH if len(sides) == 2 else next(iter(sides), None)
