"""
Share UDP sockets among many targets.
"""

from __future__ import annotations

import socket
from array import array
from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic_ns
from typing import Any

from twisted.internet.defer import Deferred, succeed

from echotwist.probe.datagrams import Datagrams
from echotwist.probe.events import Arrival
from echotwist.probe.kernel import LEFT, Report, Stamp
from echotwist.probe.schedule import SECOND
from echotwist.probe.session import Session
from echotwist.probe.watch.wheel import Wheel
from echotwist.reactors import IReactor

#: How many datagrams of a socket may wait for kernel timestamps; and the bits in which the
#: kernel counts datagrams.
_AWAITED, _COUNTED = 2**14, 2**32 - 1

#: Nanoseconds: if two datagrams come in within the first, the socket is read at intervals of
#: the second.
_OFTEN, _PAUSE = SECOND // 25, SECOND // 50

#: An address without the flow label of IPv6, which does not distinguish targets.
Key = tuple[Any, ...]


def keyOf(address: Any) -> Key:
    """
    Return the part of an address that distinguishes targets.
    """
    return address if len(address) == 2 else (*address[:2], *address[3:])


class SharedDatagrams(Datagrams):
    """
    Carry probes to many targets through one unconnected socket.

    A datagram belongs to the target that it comes from.

    If datagrams come in often, they are read together: kernel timestamps tell when each came.

    :param wheel: wakes the socket up.
    :ivar strangers: how many datagrams came from no target.
    """

    asksForQueue = False  # It costs a system call for each datagram.
    asksForSender = True

    def __init__(self, reactor: IReactor, one: socket.socket, wheel: Wheel) -> None:
        super().__init__(reactor, one, stamped=1)
        self._turn = wheel.turn(self._resume)
        self._readAt = 0
        self._lanes: dict[Key, Lane] = {}
        # Those whose timestamps are awaited, by the kernel's count.
        self._sent: dict[int, tuple[Lane, int]] = {}
        self._touched: set[Lane] = set()
        self.strangers = 0
        self._listen()

    def has(self, address: Any) -> bool:
        """
        Tell whether a target has this address.
        """
        return keyOf(address) in self._lanes

    @property
    def isEmpty(self) -> bool:
        """
        Whether no target uses the socket.
        """
        return not self._lanes

    @property
    def name(self) -> Any:
        """
        The local address; its port is known after the first datagram has left.
        """
        return self._socket.getsockname()

    def join(self, lane: Lane) -> None:
        """
        Read the replies of one more target.
        """
        self._lanes[keyOf(lane.address)] = lane

    def leave(self, lane: Lane) -> None:
        """
        Stop reading the replies of a target.
        """
        self._lanes.pop(keyOf(lane.address), None)

    def sendFor(self, lane: Lane, number: int, data: bytes) -> str:
        """
        Send a probe.

        :return: why it never left; empty if it left.
        """
        lane.latest = number
        lane.left[number % lane.kept] = 0
        if self.isStamped:
            self._await(lane, number)
        return self._put(self._socket.sendto, data, lane.address)

    def _await(self, lane: Lane, number: int) -> None:
        if len(self._sent) >= _AWAITED:  # The kernel has lost them, for lack of room.
            self._sent.clear()
        self._sent[self._key & _COUNTED] = lane, number

    def _stamped(self, stamps: Iterable[Stamp]) -> None:
        for what, key, at in stamps:
            found = self._sent.pop(key, None) if what == LEFT else None
            if found is not None:
                lane, number = found
                lane.left[number % lane.kept] = at

    def readStamps(self) -> None:
        """
        Read the kernel's timestamps of datagrams that left.
        """
        self._readNotices()

    def _arrived(self, data: bytes, arrival: Arrival, sender: Any) -> None:
        lane = self._lanes.get(sender) or self._lanes.get(keyOf(sender))
        if lane is None:
            self.strangers += 1
            return
        lane.session.arrived(data, arrival)
        if lane.session.schedule.at is None:  # It may have been the last.
            self._touched.add(lane)

    def _wasRead(self) -> None:
        touched, self._touched = self._touched, set()
        for lane in touched:
            lane.session.wasRead()
        if self.isStamped:
            self._pause(monotonic_ns())

    def _pause(self, now: int) -> None:
        """
        Pause reading if datagrams come in often.
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
    Carry probes to one target through a shared socket.

    :param shared: the socket.
    :param address: the address of the target.
    :param kept: for how many probes to keep kernel timestamps.
    :param gone: called when the lane has stopped.
    :ivar latest: the number of the latest probe.
    :ivar left: when each of the latest probes left, by kernel timestamps.
    :ivar send: sends a probe, by its number; see :meth:`SharedDatagrams.sendFor`.
    """

    session: Session

    def __init__(
        self,
        shared: SharedDatagrams,
        address: Any,
        kept: int,
        gone: Callable[[SharedDatagrams], None],
    ) -> None:
        self._shared = shared
        self._gone = gone
        self._before = shared.dropped
        self.address = address
        self.kept, self.latest = kept, 0
        self.left = array("q", bytes(8 * kept))
        self.send = partial(shared.sendFor, self)
        shared.join(self)

    @property
    def source(self) -> Any:
        """
        The source address of probes.
        """
        return self._shared.name

    @property
    def isStamped(self) -> bool:
        """
        Whether the kernel timestamps packets.
        """
        return self._shared.isStamped

    @property
    def dropped(self) -> int:
        """
        How many packets, for any target of the socket, the kernel dropped for lack of room.
        """
        return self._shared.dropped - self._before

    def start(self, session: Session) -> None:
        """
        Start reading.
        """
        self.session = session
        session.opened(self)

    def ready(self, patience: int) -> Deferred[None]:
        """
        Return a ``Deferred`` that has fired: probes can be sent at once.
        """
        return succeed(None)

    def stop(self) -> None:
        """
        Stop reading.
        """
        self._shared.leave(self)
        self._gone(self._shared)

    close = stop

    def sentAll(self) -> None:
        """
        Do nothing: other targets may still send through the socket.
        """

    def leftAt(self, number: int) -> int:
        """
        Return when a probe left, by the kernel's timestamp; 0 if unknown.
        """
        if self.latest - number >= self.kept:  # Its place is a newer one's.
            return 0
        if not self.left[number % self.kept] and self.isStamped:
            self._shared.readStamps()
        return self.left[number % self.kept]

    def queuedAt(self, number: int) -> int:
        """
        Return 0: the time of queueing is not measured.
        """
        return 0

    def read(self) -> None:
        """
        Read what has come in.
        """
        self._shared.read()
