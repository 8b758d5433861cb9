"""
Watch a socket for any event, through a reactor.

A kernel timestamp wakes up the reactor as an error does, and reactors close a socket that has
an error.  So an epoll descriptor (epoll(7)) watches the socket, and the reactor watches that
descriptor, which is readable whenever the socket has an event.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from zope.interface import implementer

from echotwist.probe.schedule import SECOND
from echotwist.reactors import IReactor

#: select(2) can wait only for descriptors below this.
_SELECTABLE = 1024


@implementer(IReadDescriptor, IWriteDescriptor)
class SocketEvents:
    """
    Report the events of a socket until it is closed.

    :param reactor: waits (``IReactorFDSet``).
    :param watched: the socket, which does not block.
    :param happened: called when there is something to read, or an error.
    :ivar isPaused: events are not reported for now.
    """

    def __init__(
        self, reactor: IReactor, watched: socket.socket, happened: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._watched = watched
        self._happened = happened
        self._wantsRoom = self.isPaused = False
        self._poller: Any = None
        if hasattr(select, "epoll"):
            self._poller = select.epoll()
            self._poller.register(watched, select.EPOLLIN)
        reactor.addReader(self)

    def wantRoom(self, isWanted: bool) -> None:
        """
        Choose whether room for sending is an event, too.
        """
        if isWanted == self._wantsRoom:
            return
        self._wantsRoom = isWanted
        if self._poller is not None:
            wanted = select.EPOLLIN | (select.EPOLLOUT if isWanted else 0)
            self._poller.modify(self._watched, wanted)
        elif isWanted:
            self._reactor.addWriter(self)
        else:
            self._reactor.removeWriter(self)

    def waitUntil(self, at: int) -> bool:
        """
        Wait here and not in the reactor, which takes several times as long, and report an event
        that comes in time.

        :param at: nanoseconds of the monotonic clock.
        :return: whether that is possible.
        """
        fd = self._watched.fileno()
        if not 0 <= fd < _SELECTABLE:
            return False
        if select.select([fd], [], [], max(0, at - monotonic_ns()) / SECOND)[0]:
            self._happened()
        return True

    def pause(self) -> None:
        """
        Report no events for now.
        """
        self.isPaused = True
        self._reactor.removeReader(self)

    def resume(self) -> None:
        """
        Report events again, and those that came meanwhile.
        """
        self.isPaused = False
        if self.fileno() >= 0:
            self._reactor.addReader(self)

    def forget(self) -> None:
        """
        Stop reporting events.
        """
        if self.fileno() < 0:
            return
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        if self._poller is not None:
            self._poller.close()

    def close(self) -> None:
        """
        Stop reporting events, and close the socket.
        """
        self.forget()
        self._watched.close()

    def fileno(self) -> int:
        """
        Return the descriptor that the reactor watches.
        """
        if self._poller is None:
            return self._watched.fileno()
        return -1 if self._poller.closed else int(self._poller.fileno())

    def doRead(self) -> None:
        """
        Report an event.
        """
        self._happened()

    doWrite = doRead

    def logPrefix(self) -> str:
        """
        Return the log prefix of these events.
        """
        return "probe"

    def connectionLost(self, reason: object) -> None:
        """
        Do nothing: the reactor stops.
        """
