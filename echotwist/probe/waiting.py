"""
Let coroutines wait for sockets.
"""

from __future__ import annotations

import socket

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime, IReadDescriptor, IWriteDescriptor
from twisted.internet.task import deferLater
from zope.interface import implementer

from echotwist.reactors import IReactor


@implementer(IReadDescriptor, IWriteDescriptor)
class Readiness:
    """
    Wait until a socket can be read or written.

    :param reactor: waits (``IReactorFDSet``, ``IReactorTime``).
    :param watched: the socket, which does not block.
    """

    def __init__(self, reactor: IReactor, watched: socket.socket) -> None:
        self._reactor = reactor
        self._watched = watched
        self._reading: Deferred[None] | None = None
        self._writing: Deferred[None] | None = None

    async def readable(self, seconds: float) -> bool:
        """
        Wait until there is something to read, the end of the stream, or an error.

        :return: whether there is; ``False`` after the timeout.
        """
        waiting: Deferred[None] = Deferred(lambda _: self._reactor.removeReader(self))
        self._reading = waiting
        self._reactor.addReader(self)
        return await self._within(waiting, seconds)

    async def writable(self, seconds: float) -> bool:
        """
        Wait until the socket takes bytes, or has an error.

        :return: whether it does; ``False`` after the timeout.
        """
        waiting: Deferred[None] = Deferred(lambda _: self._reactor.removeWriter(self))
        self._writing = waiting
        self._reactor.addWriter(self)
        return await self._within(waiting, seconds)

    async def _within(self, waiting: Deferred[None], seconds: float) -> bool:
        try:
            await waiting.addTimeout(seconds, self._reactor)
        except TimeoutError:
            return False
        return True

    def doRead(self) -> None:
        """
        Wake up the reader.
        """
        self._reactor.removeReader(self)
        waiting, self._reading = self._reading, None
        if waiting is not None:
            waiting.callback(None)

    def doWrite(self) -> None:
        """
        Wake up the writer.
        """
        self._reactor.removeWriter(self)
        waiting, self._writing = self._writing, None
        if waiting is not None:
            waiting.callback(None)

    def connectionLost(self, reason: object) -> None:
        """
        Wake up both: the socket itself will report the error.
        """
        self.doRead()
        self.doWrite()

    def forget(self) -> None:
        """
        Stop watching.
        """
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)

    def fileno(self) -> int:
        """
        Return the descriptor of the socket.
        """
        return self._watched.fileno()

    def logPrefix(self) -> str:
        """
        Return the log prefix of these events.
        """
        return "probe"


def pause(reactor: IReactorTime, seconds: float) -> Deferred[None]:
    """
    Return a ``Deferred`` that fires after some seconds.
    """
    return deferLater(reactor, seconds, lambda: None)
