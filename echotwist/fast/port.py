"""
The UDP port that echoes in batches.
"""

from __future__ import annotations

import errno
import os
from functools import lru_cache
from typing import Any

from echotwist.datagrams.port import DatagramPort
from echotwist.fast.batch import BATCH, Batch, parts
from echotwist.sockets import packetinfo

#: How many sources and asked addresses are remembered.
_KNOWN = 4096


class BatchPort(DatagramPort):
    """
    A datagram port that echoes in batches.

    The guard decides about each datagram.  The protocol is not called: it would echo
    exactly, and so does this port.
    """

    atOnce = BATCH

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._batch = Batch()
        #: The present control messages of each reply.
        self._answers: list[bytes | None] = [None] * BATCH
        #: The address and control messages of datagrams that are answered whatever their
        #: content, with the control messages of the replies.
        self._known: dict[bytes, bytes] = {}
        self._compiled = self._batch.turns(self._known)
        self._counters.sources.append(self.settle)

    def startReading(self) -> None:
        """
        Let the reactor call when datagrams wait.
        """
        super().startReading()
        self._leaveToFunction()

    def _leaveToFunction(self) -> None:
        if hasattr(self.reactor, "addUsual"):
            self.reactor.addUsual(self, self._compiled or self._turn)

    def _turn(self, fd: int) -> tuple[int, int] | None:
        return None if self.handle(self.atOnce) else (0, errno.EAGAIN)

    def doUnusual(self, count: int, outcome: int) -> None:
        """
        Take over where a turn in C gave up; examine the socket, if nothing has come in.

        :param count: how many datagrams have come.
        :param outcome: how many of them are answered; or, if none has come, the number
            of the error.
        """
        if count:
            self._answerAll(count, outcome)
            return
        if outcome != errno.EAGAIN:
            self._failedToReceive(OSError(outcome, os.strerror(outcome)))
        self.examine()

    def settle(self) -> None:
        """
        Count the datagrams that the C code answered.
        """
        self._count(*self._batch.counted())

    def _count(self, datagrams: int, size: int) -> None:
        counters = self._counters
        counters.receivedDatagrams += datagrams
        counters.receivedBytes += size
        counters.sentDatagrams += datagrams
        counters.sentBytes += size

    def handle(self, most: int) -> bool:
        """
        Handle up to so many waiting datagrams.

        :return: whether a datagram was waiting.
        """
        count = 0
        while most > 0:
            asked = min(most, BATCH)
            try:
                count = self._batch.receive(self.fileno(), asked)
            except BlockingIOError:
                break
            except OSError as error:
                self._failedToReceive(error)
                break
            if count != 1 or not self._answersFirst():
                self._answerAll(count)
            most = most - asked if count == asked else 0
        return count > 0

    def _failedToReceive(self, error: OSError) -> None:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            self.handle = super().handle  # type: ignore[method-assign]
            self._compiled = None
            self._leaveToFunction()
        self.failed("receive", error)

    def _answersFirst(self) -> bool:
        """
        Answer a datagram that came alone, if its source is answered whatever it sends.
        """
        answer = self._known.get(self._batch.first())
        if answer is None:
            return False
        if answer != self._answers[0]:
            self._prepare(0, answer)
        try:
            size = self._batch.sendFirst(self.fileno())
        except OSError:
            return False  # The caller sends it again, and reports the error.
        self._count(1, size)
        self._batch.renew(1)
        return True

    def _answerAll(self, count: int, first: int = 0) -> None:
        """
        Answer datagrams from the first on; those before it are answered already.
        """
        try:
            self._answerFrom(first, self._batch.sizes(count))
        finally:
            self._batch.renew(count)

    def _answerFrom(self, first: int, sizes: list[int]) -> None:
        known, count = self._known, len(sizes)
        self._count(first, sum(sizes[:first]))
        self._counters.receivedDatagrams += count - first
        self._counters.receivedBytes += sum(sizes[first:])
        toldAll = self._batch.told(count)
        for number in range(first, count):
            told = toldAll[number]
            answer = known.get(told)
            if answer is None:
                answer = self._answerTo(number, told, sizes[number])
            if answer is None:
                self._sendSome(sizes, first, number)
                first = number + 1
            elif answer != self._answers[number]:
                self._prepare(number, answer)
        self._sendSome(sizes, first, count)

    def _prepare(self, number: int, answer: bytes) -> None:
        """
        Set the control messages of a reply if they differ from those of the last reply of
        its number, which may have answered from another address.
        """
        self._batch.answer(number, answer)
        self._answers[number] = answer

    def _answerTo(self, number: int, told: bytes, size: int) -> bytes | None:
        """
        Ask the guard about a datagram.

        :return: the control messages of the reply; ``None`` if the guard refuses.
        """
        name, control = parts(told)
        peer = packetinfo.nameFrom(name)
        answer, toGroup = _answering(control)
        refusal = self._guard.refusal(peer, toGroup, self._batch.datagram(number, size))
        if refusal:
            self._limitedLog.refused(refusal, peer)
            return None
        if self._guard.trusts(peer):
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[told] = answer
        return answer

    def _sendSome(self, sizes: list[int], first: int, end: int) -> None:
        while first < end:
            try:
                count = self._batch.send(self.fileno(), first, end)
            except OSError as error:
                self.failed("send", error)
                first += 1
                continue
            self._counters.sentDatagrams += count
            self._counters.sentBytes += sum(sizes[first : first + count])
            first += count


@lru_cache(maxsize=_KNOWN)
def _answering(told: bytes) -> tuple[bytes, bool]:
    """
    Make the control messages of a reply from those of the datagram.

    :return: these, and whether the datagram was sent to a group.
    """
    control: list[packetinfo.Control] = []
    toGroup = False
    for one in packetinfo.controlsIn(told):
        # For IPv4 a dual-stack socket gives the address twice, as IPv4 in the end.
        control, toGroup = packetinfo.answering(*one)
    return b"".join(map(packetinfo.packed, control)), toGroup
