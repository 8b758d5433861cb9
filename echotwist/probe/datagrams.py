"""
Send probes as datagrams: UDP, UNIX datagrams, raw IP.
"""

from __future__ import annotations

import socket
from array import array
from collections.abc import Callable, Iterable
from itertools import repeat
from time import monotonic_ns, sleep, time_ns
from typing import Any

from twisted.internet.defer import Deferred, succeed

from echotwist.probe import kernel
from echotwist.probe.events import Arrival
from echotwist.probe.exchange import Exchange
from echotwist.probe.kernel import Report, Stamp
from echotwist.probe.receiver import receiver
from echotwist.probe.schedule import SECOND
from echotwist.probe.socketevents import SocketEvents
from echotwist.reactors import IReactor
from echotwist.sockets.errors import inWords

#: Bytes of the largest packet, with its header.
_LARGEST = 2**16

#: Datagrams read before other sockets have their turn.
_AT_ONCE = 64

#: Probes after which their stamps are read: the kernel keeps no more than fit into
#: ``net.core.optmem_max``, which is 20 KiB before Linux 6.9, and each probe has two.
_UNREAD = 16

#: Nanoseconds: if a wait is shorter than the first, replies, which the kernel stamps, do not
#: end it; they are then read at intervals of the second.
_SOON, _PAUSE = SECOND // 2000, SECOND // 1000

#: For how many packets the kernel's stamps are kept.
STAMPED = 2**17


class Datagrams:
    """
    Carry probes through a connected datagram socket.

    :param reactor: the reactor.
    :param one: the socket, which does not block.
    :param wantsStamps: ask the kernel for time stamps of packets that leave and come in.
    :param stamped: for how many packets the kernel's stamps are kept, a power of 2.
    :cvar asksForQueue: ask for the time when packets were queued, too.
    :cvar asksForSender: ask where each packet came from.
    :ivar isStamped: the kernel gives time stamps.
    """

    asksForQueue = True
    asksForSender = False

    def __init__(
        self,
        reactor: IReactor,
        one: socket.socket,
        wantsStamps: bool = True,
        stamped: int = STAMPED,
    ) -> None:
        self._reactor = reactor
        self._socket = one
        # Raw IPv4 sockets get the IP header as well (raw(7)).
        self._hasHeader = one.type == socket.SOCK_RAW and one.family == socket.AF_INET
        # A UNIX socket would take the question for one about replies.
        self._hasNotices = one.family in (socket.AF_INET, socket.AF_INET6)
        self.isStamped = (
            wantsStamps and self._hasNotices and kernel.askForStamps(one, self.asksForQueue)
        )
        if self._hasNotices:
            kernel.askForReports(one)
        size = stamped if self.isStamped else 1
        self._mask = size - 1
        self._numbers, self._left, self._queued = (array("q", bytes(8 * size)) for _ in range(3))
        self._key = self._unread = self._latest = self._lookedAt = 0
        self.source = one.getsockname()

    def start(self, session: Exchange) -> None:
        """
        Start reading.

        :param session: the session that takes the replies.
        """
        self._session = session
        self._listen()
        session.opened(self)

    def _listen(self) -> None:
        self._events = SocketEvents(self._reactor, self._socket, self.read)

    def hasRoom(self) -> bool:
        """
        Tell whether a probe can be sent, which shows when it is.
        """
        return True

    def ready(self, patience: int) -> Deferred[None]:
        """
        Wait until probes can be sent, which is now.
        """
        return succeed(None)

    def stop(self) -> None:
        """
        Stop reading.
        """
        self._events.close()

    def close(self) -> None:
        """
        Close the socket, if it was never started.
        """
        self._socket.close()

    @property
    def dropped(self) -> int:
        """
        How many packets the kernel dropped as its receive buffer was full.
        """
        return kernel.droppedHere(self._socket)

    def send(self, number: int, data: bytes) -> str:
        """
        Send a probe.

        :return: why it never left; empty if it left.
        """
        place = self._key & self._mask
        self._left[number & self._mask] = self._queued[number & self._mask] = 0
        self._numbers[place] = self._latest = number
        return self._put(self._socket.send, data)

    def _put(self, send: Callable[..., int], *what: Any) -> str:
        """
        Send a packet, to which the kernel gives the next number.
        """
        try:
            send(*what)
        except OSError as error:
            if why := self._sendAgain(error, send, *what):
                return why
        self._key += 1
        self._unread += 1
        if self._unread == _UNREAD:
            self.sentAll()
        return ""

    def sentAll(self) -> None:
        """
        Note that no more probes leave for now: read the timestamps that wait, as each
        would wake up the process.
        """
        if self.isStamped and self._unread:
            self._readNotices()

    def _sendAgain(self, error: OSError, send: Callable[..., int], *what: Any) -> str:
        """
        Send what failed, if that was for what ICMP said of an earlier one.

        :return: why it never left; empty if it left.
        """
        if not isinstance(error, BlockingIOError) and self._readNotices():
            try:
                send(*what)
                return ""
            except OSError as other:
                error = other
        self._key += kernel.countsAnyway(error)
        return inWords(error)

    def waitUntil(self, at: int) -> bool:
        """
        Wait until a time, or for replies, and take them.

        Replies do not end a short wait.  They are read together, now and then, as it takes
        longer to wake up than to read.

        :return: whether that is possible.
        """
        now = monotonic_ns()
        if not self.isStamped or at - now > _SOON:
            self.sentAll()
            return self._events.waitUntil(at)
        if now - self._lookedAt >= _PAUSE:
            self._lookedAt = now
            self.sentAll()
            self.read()
        elif at > now:
            sleep((at - now) / SECOND)
        return True

    def leftAt(self, number: int) -> int:
        """
        Return when a probe left, by the kernel's stamp; 0 if that is not known.
        """
        if not self.isStamped or self._latest - number > self._mask:
            return 0  # Its place is a newer one's.
        place = number & self._mask
        if not self._left[place]:
            self._readNotices()
        return self._left[place]

    def queuedAt(self, number: int) -> int:
        """
        Return when a probe was queued, by the kernel's stamp.
        """
        return self._queued[number & self._mask]

    def read(self) -> None:
        """
        Take the replies that have come in.
        """
        try:
            found = self._receive()
        except OSError:  # Nothing has come in, or an ICMP error, which is among the notices.
            found = []
            self._readNotices()
        now, wall = monotonic_ns(), time_ns()
        header = self._hasHeader
        for data, stamped, sender in found:
            payload = data[(data[0] & 15) * 4 :] if header else data
            self._arrived(payload, Arrival(now, wall, stamped), sender)
        self._wasRead()

    def _receive(self) -> list[tuple[bytes, int, Any]]:
        """
        Take some of the packets that have come in.

        :return: for each packet its bytes, the kernel's stamp of its arrival, and its source,
            if anybody asks for it.
        """
        if not kernel.IS_LINUX:
            data, sender = self._socket.recvfrom(_LARGEST)
            return [(data, 0, sender)]
        room = receiver(_AT_ONCE, _LARGEST)
        count = room.receive(self._socket.fileno())
        packets = map(room.packet, range(count))
        senders = map(room.sender, range(count)) if self.asksForSender else repeat(None, count)
        # Others may receive into the same room before all of them are taken.
        return list(zip(packets, kernel.receivedAt(room, count), senders, strict=True))

    def _arrived(self, data: bytes, arrival: Arrival, sender: Any) -> None:
        self._session.arrived(data, arrival)

    def _wasRead(self) -> None:
        self._session.wasRead()

    def _reported(self, report: Report) -> None:
        self._session.reported(report.data, report.words)

    def _readNotices(self) -> int:
        """
        Read the kernel's notices about sent packets.

        :return: how many ICMP errors there were.
        """
        self._unread = 0
        if not self._hasNotices:
            return 0
        stamps, others = kernel.notices(self._socket)
        self._stamped(stamps)
        reports = [one for one in others if isinstance(one, Report)]
        for report in reports:
            self._reported(report)
        return len(reports)

    def _stamped(self, stamps: Iterable[Stamp]) -> None:
        numbers, left, queued, mask = self._numbers, self._left, self._queued, self._mask
        for what, key, at in stamps:
            # The kernel counts in 32 bits.
            (left if what == kernel.LEFT else queued)[numbers[key & mask] & mask] = at
