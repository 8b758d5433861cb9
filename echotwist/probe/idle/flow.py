"""
One flow of UDP or TCP: asks, is silent, and notices how it ends.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic_ns, time_ns
from typing import Any

from twisted.internet.task import deferLater

from echotwist.probe import kernel
from echotwist.probe.idle.course import Ending, NoAnswer, Outcome
from echotwist.probe.kernel import Report
from echotwist.probe.payload import HEADER, Payload
from echotwist.probe.places import Place
from echotwist.probe.schedule import SECOND
from echotwist.probe.waiting import Readiness
from echotwist.sockets.errors import inWords

#: How often a datagram is sent that is not answered, within the time for one answer.
_TRIES = 4

#: Seconds between the questions of a stream of datagrams, and how many there are: Linux
#: takes for a stream what goes both ways for 2 seconds (nf_conntrack_proto_udp.c).
_BETWEEN, _QUESTIONS = 0.5, 6

#: Bytes that are read at once.
_AT_ONCE = 2**16

#: What errors of a flow mean.
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
    What all flows share: questions that no two have alike.

    :param reactor: waits.
    :param payload: makes them.
    :param timeout: seconds for an answer.
    :ivar sent: questions so far; and how many of them were answered.
    """

    def __init__(self, reactor: Any, payload: Payload, timeout: float) -> None:
        self.reactor = reactor
        self.timeout = timeout
        self._payload = payload
        self.sent = self.back = 0

    def next(self) -> bytes:
        """
        Make the next one.
        """
        self.sent += 1
        return self._payload.make(self.sent, time_ns())


class Flow:
    """
    A flow; it ends when it is closed.

    :param asked: makes its questions.
    :param one: its socket.
    :param place: where it goes.
    """

    def __init__(self, asked: Asked, one: socket.socket, place: Place) -> None:
        self._asked = asked
        self._socket = one
        self._place = place
        self._ready = Readiness(asked.reactor, one)
        kernel.askForReports(one)

    #: What nothing at all means.
    _nothing: bytes | Ending = b""

    async def begin(self) -> None:
        """
        Begin it, and have it known on the way.

        :raise NoAnswer: there is none.
        """
        await self._open()
        if ending := await self.ask():
            raise NoAnswer(ending.reason)

    async def _open(self) -> None:
        """
        Connect, where that takes time.
        """

    async def ask(self) -> Ending | None:
        """
        Ask the service.

        :return: nothing if it answers.
        """
        raise NotImplementedError

    async def keepSilent(self, seconds: float) -> Ending | None:
        """
        Send nothing.

        :return: how the flow ended meanwhile, if it did.
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
        Wait for the answer to one of some questions.

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
        Take what has come, or hear that the flow has ended.
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
        End it.
        """
        self._ready.forget()
        self._socket.close()


class DatagramFlow(Flow):
    """
    A flow of UDP.
    """

    async def ask(self) -> Ending | None:
        """
        Ask again where nothing comes back: the network may lose a datagram.
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
    A flow of UDP that goes on for some time before it is silent.
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
    A flow of TCP.

    :param keepalive: seconds from one keepalive to the next, if there are any.
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
            # An acknowledgement that is delayed would shorten the silence.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    async def ask(self) -> Ending | None:
        """
        Ask once: the kernel sends again what is not acknowledged.
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
    Ask the service on a flow that is new.

    :raise NoAnswer: it does not answer.
    """
    flow = opener()
    try:
        await flow.begin()
    finally:
        flow.close()


async def attempt(opener: Opener, now: Callable[[], int], silence: int) -> Outcome:
    """
    Have one flow be silent, and ask it once.

    :param now: a clock that counts on while the machine sleeps.
    :param silence: nanoseconds.
    :raise NoAnswer: it never had an answer.
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
