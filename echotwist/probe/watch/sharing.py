"""
UDP sockets that many targets share.
"""

from __future__ import annotations

import socket
from array import array
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from twisted.internet.defer import Deferred, succeed

from echotwist.probe.datagrams import Datagrams
from echotwist.probe.events import arrivalNow
from echotwist.probe.exchange import Exchange
from echotwist.probe.kernel import LEFT, Report
from echotwist.probe.schedule import SECOND
from echotwist.probe.watch.wheel import Wheel

#: For how many datagrams of a socket the kernel's stamps are awaited, and of how many of
#: one target they are kept: powers of 2.
_AWAITED, _KEPT = 2**14, 2**7

#: Nanoseconds: datagrams come in often if two do within so many, and are then read so
#: often.
_OFTEN, _PAUSE = SECOND // 25, SECOND // 50

#: Where datagrams of a target come from: IPv6 has a flow, too, which does not matter.
Key = tuple[Any, ...]


def keyOf(address: Any) -> Key:
    """
    Give what tells an address from others.
    """
    return (*address[:2], *address[3:])


class SharedDatagrams(Datagrams):
    """
    Carry probes to many targets through one socket, which is not connected.

    A datagram is for the target that it comes from.  Others are nobody's.

    Where datagrams come in often, they are read together: the kernel's stamps say when
    each of them came.

    :param wheel: wakes it up.
    :ivar strangers: how many were.
    """

    asksForQueue = False  # That takes a system call for each.

    def __init__(self, reactor: Any, one: socket.socket, wheel: Wheel) -> None:
        super().__init__(reactor, one, stamped=_AWAITED)
        self._turn = wheel.turn(self._resume)
        self._readAt = 0
        self._lanes: dict[Key, Lane] = {}
        self._sent: list[tuple[Lane, int] | None] = [None] * (self._mask + 1)
        self._touched: set[Lane] = set()
        self.strangers = 0
        self._listen()

    def has(self, address: Any) -> bool:
        """
        Tell whether there is such a target.
        """
        return keyOf(address) in self._lanes

    @property
    def isEmpty(self) -> bool:
        """
        Whether there are no targets.
        """
        return not self._lanes

    @property
    def name(self) -> Any:
        """
        The address that it sends from; its port is known when it has sent something.
        """
        return self._socket.getsockname()

    def join(self, lane: Lane) -> None:
        """
        Read what comes from one more target.
        """
        self._lanes[keyOf(lane.address)] = lane

    def leave(self, lane: Lane) -> None:
        """
        Read no more from a target.
        """
        self._lanes.pop(keyOf(lane.address), None)

    def sendFor(self, lane: Lane, number: int, data: bytes) -> str:
        """
        Send a probe.

        :return: why it never left, or nothing.
        """
        self._sent[self._key & self._mask] = lane, number
        return self._put(self._socket.sendto, data, lane.address)

    def _stamped(self, what: int, key: int, at: int) -> None:
        found = self._sent[key & self._mask]
        if found is not None and what == LEFT:
            lane, number = found
            lane.left[number % _KEPT] = at

    def readStamps(self) -> None:
        """
        Take what the kernel says of what was sent.
        """
        self._readNotices()

    def _arrived(self, data: bytes, stamped: int, sender: Any) -> None:
        lane = self._lanes.get(keyOf(sender))
        if lane is None:
            self.strangers += 1
            return
        lane.session.arrived(data, arrivalNow(stamped))
        self._touched.add(lane)

    def _wasRead(self) -> None:
        touched, self._touched = self._touched, set()
        for lane in touched:
            lane.session.wasRead()
        if self.isStamped:
            self._pause(monotonic_ns())

    def _pause(self, now: int) -> None:
        """
        Read nothing for a while, if there was much to read.
        """
        if now - self._readAt < _OFTEN and not self._events.isPaused:
            self._events.pause()
            self._turn.set((now // _PAUSE + 1) * _PAUSE)
        self._readAt = now

    def _resume(self) -> None:
        self._events.resume()

    def _reported(self, report: Report) -> None:
        lane = self._lanes.get(keyOf(report.to)) if report.to else None
        if lane is not None:
            lane.session.reported(report.data, report.words)


class Lane:
    """
    Carry probes to one target through a socket that others use, too.

    :param shared: the socket.
    :param address: of the target.
    :param left: is called when nothing is carried any more.
    :ivar left: when each of the last probes left, by the kernel's stamps.
    """

    session: Exchange

    def __init__(
        self, shared: SharedDatagrams, address: Any, gone: Callable[[SharedDatagrams], None]
    ) -> None:
        self._shared = shared
        self._gone = gone
        self._before = shared.dropped
        self.address = address
        self.left = array("q", bytes(8 * _KEPT))
        shared.join(self)

    @property
    def source(self) -> Any:
        """
        Where probes come from.
        """
        return self._shared.name

    @property
    def isStamped(self) -> bool:
        """
        Whether the kernel says when packets leave and come in.
        """
        return self._shared.isStamped

    @property
    def dropped(self) -> int:
        """
        How many packets for any target of the socket the kernel had no room for.
        """
        return self._shared.dropped - self._before

    def start(self, session: Exchange) -> None:
        """
        Begin to read.
        """
        self.session = session
        session.opened(self)

    def ready(self, patience: int) -> Deferred[None]:
        """
        Wait until probes can be sent, which is now.
        """
        return succeed(None)

    def stop(self) -> None:
        """
        Read no more.
        """
        self._shared.leave(self)
        self._gone(self._shared)

    close = stop

    def send(self, number: int, data: bytes) -> str:
        """
        Send a probe.

        :return: why it never left, or nothing.
        """
        self.left[number % _KEPT] = 0
        return self._shared.sendFor(self, number, data)

    def sentAll(self) -> None:
        """
        Others may send now, through the same socket.
        """

    def leftAt(self, number: int) -> int:
        """
        Tell when a probe left, by the kernel's stamp; 0 if that is not known.
        """
        if not self.left[number % _KEPT] and self.isStamped:
            self._shared.readStamps()
        return self.left[number % _KEPT]

    def queuedAt(self, number: int) -> int:
        """
        Nobody asked when a probe was queued.
        """
        return 0

    def read(self) -> None:
        """
        Take what has come in.
        """
        self._shared.read()
