"""
One datagram after the other, each with what became of it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import monotonic_ns, time_ns
from typing import Any

from attrs import define

from echotwist.probe import kernel
from echotwist.probe.kernel import Limit, Report
from echotwist.probe.mtu.byhand import HandMade
from echotwist.probe.mtu.fragmenting import OPTIONS, How, hearOfFragments, leave, piecesOf
from echotwist.probe.payload import HEAD, Payload, headOf
from echotwist.probe.schedule import SECOND
from echotwist.probe.waiting import Readiness, pause
from echotwist.sockets.errors import inWords

#: What became of a datagram: it came back; ICMP says that it was too large; ICMP says
#: something else; nobody answered in time; it never left.
ANSWERED, REFUSED, REPORTED, UNANSWERED, UNSENT = (
    "answered",
    "refused",
    "reported",
    "unanswered",
    "unsent",
)

#: Bytes of the largest packet, and of control messages that come with one.
LARGEST, _ROOM = 65535, 256


@define(eq=False)
class Trial:
    """
    One packet that was sent, or was to be sent.

    :param number: of it, from 1 on.
    :param size: bytes, with the headers of IP and UDP.
    :param how: it left.
    :param at: nanoseconds of the monotonic clock when it left.
    :param wall: those of the time that it carries.
    :ivar outcome: a word.
    :ivar took: nanoseconds until its reply or what ICMP says, if there was any.
    :ivar isLate: the reply came after it was given up.
    :ivar isDamaged: the reply was another than it should be.
    :ivar returned: bytes of the reply as one packet.
    :ivar pieces: of the largest fragment of the reply; 0 if it came whole.
    :ivar mtu: how large a packet may be, if ICMP or this host says so.
    :ivar host: that says so.
    :ivar reason: what it says, or why it never left.
    """

    number: int
    size: int
    how: How
    at: int = 0
    wall: int = 0
    outcome: str = UNANSWERED
    took: int | None = None
    isLate: bool = False
    isDamaged: bool = False
    returned: int = 0
    pieces: int = 0
    mtu: int = 0
    host: str = ""
    reason: str = ""


class Courier:
    """
    Send datagrams to a service, one at a time.

    :param reactor: waits.
    :param one: a connected UDP socket, which does not block.
    :param seed: makes datagrams unlike those of others.
    :param pace: nanoseconds at least from one to the next.
    :param cutter: sends fragments of any size, if this process may do that.
    :ivar trials: all, in their order.
    :ivar source: where datagrams come from.
    :ivar dropped: replies that the kernel had no room for, once it is closed.
    :ivar late: is told of one of which something is known when it was already given up.
    """

    def __init__(
        self,
        reactor: Any,
        one: socket.socket,
        seed: bytes,
        pace: int = 0,
        cutter: HandMade | None = None,
    ) -> None:
        self._reactor = reactor
        self._socket = one
        self._ready = Readiness(reactor, one)
        self._payload = Payload(seed, LARGEST)
        self._pace, self._cutter = pace, cutter
        self._header = OPTIONS[one.family].header
        self.trials: list[Trial] = []
        self.strange = self.twice = self.dropped = 0
        self.source = one.getsockname()
        self.late: Callable[[Trial], None] = lambda trial: None
        kernel.askForReports(one)
        hearOfFragments(one)

    @property
    def family(self) -> int:
        """
        The family of the addresses.
        """
        return self._socket.family

    @property
    def canCut(self) -> bool:
        """
        Whether it can send fragments of any size.
        """
        return self._cutter is not None

    async def ask(self, size: int, how: How, patience: int) -> Trial:
        """
        Send a packet, and wait until something is known of it.

        :param size: bytes, with its headers.
        :param patience: nanoseconds to wait at the most.
        """
        await self._keepPace()
        self._readNotices()  # What is said later is of this one.
        trial = Trial(len(self.trials) + 1, size, how, monotonic_ns(), time_ns())
        self.trials.append(trial)
        self._send(trial)
        until = trial.at + patience
        while trial.outcome == UNANSWERED and (left := until - monotonic_ns()) > 0:
            await self._ready.readable(left / SECOND)
            self._read()
        return trial

    async def _keepPace(self) -> None:
        if self._pace and self.trials:
            left = self.trials[-1].at + self._pace - monotonic_ns()
            if left > 0:
                await pause(self._reactor, left / SECOND)

    def _send(self, trial: Trial) -> None:
        data = self._payload.make(trial.number, trial.wall)[: trial.size - self._header]
        try:
            if trial.how.isByHand and self._cutter is not None:
                self._cutter.send(data, trial.how.pieces)
                return
            leave(self._socket, trial.how)
            self._socket.send(data)
        except OSError as error:
            # What ICMP said of an earlier one fails the next, which then has not left.
            if self._readNotices() and trial.outcome == UNANSWERED:
                self._again(trial, data)
            else:
                self._unsent(trial, error)

    def _again(self, trial: Trial, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            self._readNotices()
            self._unsent(trial, error)

    def _unsent(self, trial: Trial, error: OSError) -> None:
        trial.outcome, trial.reason = UNSENT, inWords(error)

    def _read(self) -> None:
        """
        Take what has come in.
        """
        self._readNotices()
        while True:
            try:
                data, control, _, _ = self._socket.recvmsg(LARGEST, _ROOM)
            except BlockingIOError:
                return
            except OSError:  # What ICMP said; it comes with the notices, too.
                self._readNotices()
                continue
            self._arrived(data, piecesOf(self._socket, control))

    def _arrived(self, data: bytes, pieces: int) -> None:
        trial = self._trialOf(data)
        if trial is None:
            self.strange += 1
        elif trial.outcome == ANSWERED:
            self.twice += 1
        else:
            trial.isLate = trial is not self.trials[-1]
            trial.outcome, trial.took = ANSWERED, monotonic_ns() - trial.at
            trial.returned, trial.pieces = len(data) + self._header, pieces
            trial.isDamaged = data != self._bytesOf(trial)
            if trial.isLate:
                self.late(trial)

    def _bytesOf(self, trial: Trial) -> bytes:
        return self._payload.make(trial.number, trial.wall)[: trial.size - self._header]

    def _trialOf(self, data: bytes) -> Trial | None:
        number, wall = headOf(data)
        if 0 < number <= len(self.trials) and self.trials[number - 1].wall == wall:
            return self.trials[number - 1]
        for last in self.trials[-1:]:
            if self._bytesOf(last)[:HEAD] in data:  # Something stands before it.
                return last
        return None

    def _readNotices(self) -> int:
        """
        Read what the kernel has to tell of what was sent.

        :return: how many things ICMP said.
        """
        reports = 0
        for notice in kernel.notices(self._socket):
            if isinstance(notice, Limit):
                self.trials[-1].mtu = notice.mtu
            elif isinstance(notice, Report):
                reports += 1
                self._reported(notice)
        return reports

    def _reported(self, report: Report) -> None:
        # A router need not send so much back that the number is in it.
        last = self.trials[-1] if self.trials else None
        trial = self._trialOf(report.data) if len(report.data) >= HEAD else last
        if trial is not None and trial.outcome != ANSWERED:
            trial.outcome = REFUSED if report.isTooBig else REPORTED
            trial.took = monotonic_ns() - trial.at
            trial.mtu, trial.host, trial.reason = report.mtu, report.host, report.words
            if trial is not self.trials[-1]:
                self.late(trial)

    def close(self) -> None:
        """
        Close the socket.
        """
        self.dropped = kernel.droppedHere(self._socket)
        self._ready.forget()
        self._socket.close()
        if self._cutter is not None:
            self._cutter.close()
