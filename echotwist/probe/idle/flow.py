"""
One flow over UDP or TCP: it asks, keeps silent, and notices its end.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic_ns, time_ns

from twisted.internet.task import deferLater

from echotwist.probe import kernel
from echotwist.probe.idle.course import Ending, NoAnswer, Outcome
from echotwist.probe.kernel import Report
from echotwist.probe.payload import HEADER, Payload
from echotwist.probe.places import Place
from echotwist.probe.schedule import SECOND
from echotwist.probe.waiting import Readiness
from echotwist.reactors import IReactor
from echotwist.sockets.errors import inWords

#: How many times to send a datagram that gets no answer, within the timeout.
_TRIES = 4

#: Seconds between the questions of a stream of datagrams, and their number: Linux calls a
#: flow a stream when it has datagrams both ways for 2 seconds (nf_conntrack_proto_udp.c).
_BETWEEN, _QUESTIONS = 0.5, 6

#: Bytes to read at once.
_AT_ONCE = 2**16

#: The kind of ending for each error.
_KINDS = {
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "silence",
    errno.ECONNREFUSED: "icmp",
    errno.EHOSTUNREACH: "icmp",
    errno.ENETUNREACH: "icmp",
    errno.EACCES: "icmp",
}

_SILENCE = Ending("silence", "no answer")
_CLOSED = Ending("closed", "the connection was closed (FIN)")


class Asked:
    """
    What all flows share, such as questions of which no two are alike.

    :param reactor: waits.
    :param payload: makes the questions.
    :param timeout: seconds to wait for an answer.
    :ivar sent: questions so far; ``back`` counts those that were answered.
    """

    def __init__(self, reactor: IReactor, payload: Payload, timeout: float) -> None:
        self.reactor = reactor
        self.timeout = timeout
        self._payload = payload
        self.sent = self.back = 0

    def next(self) -> bytes:
        """
        Make the next question.
        """
        self.sent += 1
        return self._payload.make(self.sent, time_ns())


class Flow:
    """
    A flow; :meth:`close` ends it.

    :param asked: makes its questions.
    :param one: its socket.
    :param place: the address of the service.
    """

    def __init__(self, asked: Asked, one: socket.socket, place: Place) -> None:
        self._asked = asked
        self._socket = one
        self._place = place
        self._ready = Readiness(asked.reactor, one)
        kernel.askForReports(one)

    #: The meaning of an empty read.
    _nothing: bytes | Ending = b""

    async def begin(self) -> None:
        """
        Open the flow, and ask once, so that all hosts on the path know it.

        :raise NoAnswer: the service does not answer.
        """
        await self._open()
        if ending := await self.ask():
            raise NoAnswer(ending.reason)

    async def _open(self) -> None:
        """
        Connect, if the protocol has connections.
        """

    async def ask(self) -> Ending | None:
        """
        Ask the service.

        :return: ``None`` if the service answers; else how the flow ended.
        """
        raise NotImplementedError

    async def keepSilent(self, seconds: float) -> Ending | None:
        """
        Send nothing.

        :return: how the flow ended meanwhile; ``None`` if it did not.
        """
        until = monotonic_ns() + round(seconds * SECOND)
        while (left := (until - monotonic_ns()) / SECOND) > 0:
            if await self._ready.readable(left):
                found = self._read()
                if isinstance(found, Ending):
                    return found
        return None

    async def _answerTo(self, questions: list[bytes], seconds: float) -> bool | Ending:
        """
        Wait for the answer to any of some questions.

        :return: whether it came in time, or how the flow ended.
        """
        got, until = b"", monotonic_ns() + round(seconds * SECOND)
        while (left := (until - monotonic_ns()) / SECOND) > 0 and await self._ready.readable(left):
            found = self._read()
            if isinstance(found, Ending):
                return found
            got += found
            if any(one[:HEADER] in got for one in questions):
                self._asked.back += 1
                return True
        return False

    def _read(self) -> bytes | Ending:
        """
        Read what has come in, or how the flow ended.
        """
        try:
            return self._socket.recv(_AT_ONCE) or self._nothing
        except BlockingIOError:
            return b""
        except OSError as error:
            return self._ending(error)

    def _ending(self, error: OSError) -> Ending:
        kind = _KINDS.get(error.errno or 0, "error")
        return Ending(kind, f"RST: {inWords(error)}" if kind == "reset" else inWords(error))

    def close(self) -> None:
        """
        Close the socket.
        """
        self._ready.forget()
        self._socket.close()


class DatagramFlow(Flow):
    """
    A flow over UDP.
    """

    async def ask(self) -> Ending | None:
        """
        Ask, and repeat the question while no answer comes: the network may lose a datagram.
        """
        questions: list[bytes] = []
        for _ in range(_TRIES):
            questions.append(self._asked.next())
            try:
                self._socket.send(questions[-1])
            except BlockingIOError:
                pass
            except OSError as error:
                return self._ending(error)
            found = await self._answerTo(questions, self._asked.timeout / _TRIES)
            if isinstance(found, Ending):
                return found
            if found:
                return None
        return _SILENCE

    def _ending(self, error: OSError) -> Ending:
        with suppress(OSError):
            while True:
                notice = kernel.nextNotice(self._socket)
                if isinstance(notice, Report):
                    return Ending("icmp", notice.words)
        return super()._ending(error)


class StreamingFlow(DatagramFlow):
    """
    A flow over UDP that exchanges datagrams for some seconds before its silence.
    """

    async def begin(self) -> None:
        """
        Ask several times.
        """
        await super().begin()
        for _ in range(_QUESTIONS - 1):
            await deferLater(self._asked.reactor, _BETWEEN, lambda: None)
            if ending := await self.ask():
                raise NoAnswer(ending.reason)


class StreamFlow(Flow):
    """
    A flow over TCP.

    :param keepalive: seconds between keepalives; ``None`` for no keepalives.
    """

    _nothing = _CLOSED

    def __init__(
        self, asked: Asked, one: socket.socket, place: Place, keepalive: int | None = None
    ) -> None:
        super().__init__(asked, one, place)
        if keepalive is not None:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL"):
                if (option := getattr(socket, name, None)) is not None:
                    one.setsockopt(socket.IPPROTO_TCP, option, keepalive)

    async def _open(self) -> None:
        error = self._socket.connect_ex(self._place.address)
        if error in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            if not await self._ready.writable(self._asked.timeout):
                raise NoAnswer(f"no connection in {self._asked.timeout:g} s")
            error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise NoAnswer(inWords(OSError(error, os.strerror(error))))
        if hasattr(socket, "TCP_QUICKACK"):
            # A delayed acknowledgement would shorten the silence.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    async def ask(self) -> Ending | None:
        """
        Ask once: the kernel retransmits.
        """
        question = self._asked.next()
        try:
            self._socket.send(question)
        except OSError as error:
            return self._ending(error)
        found = await self._answerTo([question], self._asked.timeout)
        if isinstance(found, Ending):
            return found
        return None if found else _SILENCE


#: Opens a flow.
Opener = Callable[[], Flow]


async def control(opener: Opener) -> None:
    """
    Ask the service on a new flow.

    :raise NoAnswer: it does not answer.
    """
    flow = opener()
    try:
        await flow.begin()
    finally:
        flow.close()


async def attempt(opener: Opener, now: Callable[[], int], silence: int) -> Outcome:
    """
    Keep a flow silent, then ask once.

    :param now: a clock that goes on while the machine sleeps, in nanoseconds.
    :param silence: nanoseconds of silence.
    :raise NoAnswer: the service did not answer before the silence.
    """
    flow = opener()
    try:
        await flow.begin()
        began = now()
        ending = await flow.keepSilent(silence / SECOND)
        took = now() - began
        return Outcome(took, ending or await flow.ask())
    finally:
        flow.close()
