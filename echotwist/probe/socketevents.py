"""
A socket whose events a reactor tells of, whatever they are.

A stamp of the kernel wakes up whoever waits, as an error does, for which reactors close
a socket.  So the socket is watched by an epoll descriptor of its own (epoll(7)), which is
readable whenever there is something, and the reactor watches that one.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from echotwist.probe.schedule import SECOND

#: Descriptors that select(2) can wait for are below this.
_SELECTABLE = 1024


@implementer(IReadDescriptor)
class SocketEvents:
    """
    Tell of the events of a socket until it is closed.

    :param reactor: waits (``IReactorFDSet``).
    :param watched: does not block.
    :param happened: is called when there is something to read, or an error.
    :ivar isPaused: it is not called for now.
    """

    def __init__(self, reactor: Any, watched: socket.socket, happened: Callable[[], None]) -> None:
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
        Say whether it is an event, too, that the socket takes more.
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
        Wait here, and not in the reactor, which takes several times as long: tell of an
        event, if there is one in time.

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
        Tell of no events for now.
        """
        self.isPaused = True
        self._reactor.removeReader(self)

    def resume(self) -> None:
        """
        Tell of events again, and of what came meanwhile.
        """
        self.isPaused = False
        if self.fileno() >= 0:
            self._reactor.addReader(self)

    def forget(self) -> None:
        """
        Tell of no more events.
        """
        if self.fileno() < 0:
            return
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        if self._poller is not None:
            self._poller.close()

    def close(self) -> None:
        """
        Tell of no more events, and close the socket.
        """
        self.forget()
        self._watched.close()

    def fileno(self) -> int:
        """
        Give the descriptor that the reactor watches.
        """
        if self._poller is None:
            return self._watched.fileno()
        return -1 if self._poller.closed else int(self._poller.fileno())

    def doRead(self) -> None:
        """
        Tell that something happened.
        """
        self._happened()

    doWrite = doRead

    def logPrefix(self) -> str:
        """
        Say whose events these are.
        """
        return "probe"

    def connectionLost(self, reason: object) -> None:
        """
        The reactor stops.
        """
