"""
Send one datagram after the other, and record the outcome of each.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import monotonic_ns, time_ns

from attrs import define

from echotwist.probe import kernel
from echotwist.probe.kernel import Limit, Report
from echotwist.probe.mtu.byhand import HandMade
from echotwist.probe.mtu.fragmenting import OPTIONS, How, hearOfFragments, leave, piecesOf
from echotwist.probe.payload import HEAD, Payload, headOf
from echotwist.probe.schedule import SECOND
from echotwist.probe.waiting import Readiness, pause
from echotwist.reactors import IReactor
from echotwist.sockets.errors import inWords

#: The outcome of a datagram: the reply came; ICMP reported that it was too large; ICMP
#: reported another error; no reply came in time; this host did not send it.
ANSWERED, REFUSED, REPORTED, UNANSWERED, UNSENT = (
    "answered",
    "refused",
    "reported",
    "unanswered",
    "unsent",
)

#: Bytes of the largest packet, and of the control messages received with a packet.
LARGEST, _ROOM = 65535, 256


@define(eq=False)
class Trial:
    """
    One packet that was sent, or that this host failed to send.

    :param number: its number, from 1 on.
    :param size: bytes, with the headers of IP and UDP.
    :param how: how it left.
    :param at: nanoseconds of the monotonic clock when it left.
    :param wall: nanoseconds since 1970 when it left, as the packet itself carries them.
    :ivar outcome: one of the words above.
    :ivar took: nanoseconds until the reply or the ICMP error came, if one did.
    :ivar isLate: the reply came after the timeout.
    :ivar isDamaged: the reply has other bytes than the probe.
    :ivar returned: bytes of the reply, counted as one packet.
    :ivar pieces: bytes of the largest fragment of the reply; 0 if it came whole.
    :ivar mtu: the MTU that ICMP or this host's kernel reported, in bytes; 0 if none did.
    :ivar host: the address that sent the ICMP error.
    :ivar reason: the ICMP error in words, or why this host did not send the packet.
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

    :param reactor: waits for replies (``IReactorFDSet``, ``IReactorTime``).
    :param one: a connected, non-blocking UDP socket.
    :param seed: makes these datagrams differ from those of other probes.
    :param pace: nanoseconds from one datagram to the next, at least.
    :param cutter: sends fragments of any size; ``None`` if this process may not.
    :ivar trials: all packets so far, in the order of sending.
    :ivar source: the source address of the datagrams.
    :ivar dropped: replies for which the kernel had no room; known after :meth:`close`.
    :ivar late: called with a trial whose reply or ICMP error came after its timeout.
    """

    def __init__(
        self,
        reactor: IReactor,
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
        The address family of the socket.
        """
        return self._socket.family

    @property
    def canCut(self) -> bool:
        """
        Whether this process can send fragments of any size.
        """
        return self._cutter is not None

    async def ask(self, size: int, how: How, patience: int) -> Trial:
        """
        Send a packet, and wait for its outcome.

        :param size: bytes of the packet, with its headers.
        :param patience: nanoseconds to wait at most.
        """
        await self._keepPace()
        self._readNotices()  # Notices that come later are about this packet.
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
            # An ICMP error for an earlier packet makes this send fail: this packet has not left.
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
        Read all replies and notices that wait.
        """
        self._readNotices()
        while True:
            try:
                data, control, _, _ = self._socket.recvmsg(LARGEST, _ROOM)
            except BlockingIOError:
                return
            except OSError:  # An ICMP error, which is among the notices as well.
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
            if self._bytesOf(last)[:HEAD] in data:  # The service put something before it.
                return last
        return None

    def _readNotices(self) -> int:
        """
        Read the kernel's notices about sent packets.

        :return: how many ICMP errors were among them.
        """
        reports = 0
        for notice in kernel.notices(self._socket)[1]:
            if isinstance(notice, Limit):
                self.trials[-1].mtu = notice.mtu
            else:
                reports += 1
                self._reported(notice)
        return reports

    def _reported(self, report: Report) -> None:
        # A router may quote too little of the packet to contain its number.
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
