"""
Sockets that coroutines wait for.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.internet.task import deferLater
from zope.interface import implementer


@implementer(IReadDescriptor, IWriteDescriptor)
class Readiness:
    """
    Tell when a socket can be read, or written to.

    :param reactor: waits (``IReactorFDSet``, ``IReactorTime``).
    :param watched: does not block.
    """

    def __init__(self, reactor: Any, watched: socket.socket) -> None:
        self._reactor = reactor
        self._watched = watched
        self._reading: Deferred[None] | None = None
        self._writing: Deferred[None] | None = None

    async def readable(self, seconds: float) -> bool:
        """
        Wait until there is something to read, an end or an error.

        :return: whether there is, after so many seconds.
        """
        waiting: Deferred[None] = Deferred(lambda _: self._reactor.removeReader(self))
        self._reading = waiting
        self._reactor.addReader(self)
        return await self._within(waiting, seconds)

    async def writable(self, seconds: float) -> bool:
        """
        Wait until it takes more, or there is an error.

        :return: whether it does, after so many seconds.
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
        Go on reading.
        """
        self._reactor.removeReader(self)
        waiting, self._reading = self._reading, None
        if waiting is not None:
            waiting.callback(None)

    def doWrite(self) -> None:
        """
        Go on writing.
        """
        self._reactor.removeWriter(self)
        waiting, self._writing = self._writing, None
        if waiting is not None:
            waiting.callback(None)

    def connectionLost(self, reason: object) -> None:
        """
        Have the socket itself tell what is the matter.
        """
        self.doRead()
        self.doWrite()

    def forget(self) -> None:
        """
        Tell of nothing more.
        """
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)

    def fileno(self) -> int:
        """
        Give the descriptor of the socket.
        """
        return self._watched.fileno()

    def logPrefix(self) -> str:
        """
        Say whose events these are.
        """
        return "probe"


def pause(reactor: Any, seconds: float) -> Deferred[None]:
    """
    Wait.
    """
    return deferLater(reactor, seconds, lambda: None)
