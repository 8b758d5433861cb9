"""
Send probes in a stream: TCP, TLS, UNIX.

Each reply is known by its place in the stream.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred

from echotwist.probe.answers import Answers
from echotwist.probe.events import arrivalNow
from echotwist.probe.exchange import Exchange
from echotwist.probe.ledger import REPORTED
from echotwist.probe.places import Place, ProbeError
from echotwist.probe.schedule import SECOND
from echotwist.probe.socketevents import SocketEvents
from echotwist.reactors import IReactor

#: Bytes to read at once, and how many times before other sockets have their turn.
_AT_ONCE, _TIMES = 2**18, 16

#: Why a probe cannot be sent while the connection is being made.
_CONNECTING = "there is no connection yet"

#: The errors of connect(2) while the connection is being made.
_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)


class Stream:
    """
    Carry probes through a connection; when it has ended, through a new one.

    :param reactor: waits.
    :param open: opens the socket, not yet connected.
    :param place: the address of the service.
    :param wantsStamps: ask for kernel timestamps, where the system has them.
    :ivar isOpen: the connection can carry probes.
    :ivar source: the local address of the connection, even of one that is never made.
    """

    isStamped = False
    dropped = 0

    def __init__(
        self,
        reactor: IReactor,
        open: Callable[[], socket.socket],
        place: Place,
        wantsStamps: bool = True,
    ) -> None:
        self._reactor = reactor
        self._wantsStamps = wantsStamps
        self._open = open
        self._place = place
        self._events: SocketEvents | None = None
        self._why = ""  # Why there is no connection.
        self.isOpen = False
        self._ready: Deferred[None] | None = None
        self.source: Any = None

    def start(self, session: Exchange) -> None:
        """
        Start connecting.

        :param session: receives the replies.
        """
        self._session = session
        self._answers = Answers(session.expected)
        self.connect()

    def ready(self, patience: int) -> Deferred[None]:
        """
        Wait until the connection is made, or has failed.

        :param patience: nanoseconds to wait at most.
        """
        ready: Deferred[None] = Deferred()
        self._ready = ready
        timeout = self._reactor.callLater(patience / SECOND, self._isReady)
        ready.addCallback(lambda _: timeout.cancel() if timeout.active() else None)
        if self._why != _CONNECTING:
            self._isReady()
        return ready

    def _isReady(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.callback(None)

    # The connection

    def connect(self) -> None:
        """
        Start connecting.
        """
        self._why = _CONNECTING
        try:
            self._socket = self._open()
        except ProbeError as error:
            self._ended(str(error))
            return
        number = self._socket.connect_ex(self._place.address)
        # The backlog of a UNIX socket is full: no connection is being made (connect(2)).
        isUnderWay = number in _UNDER_WAY and isinstance(self._place.address, tuple)
        if isUnderWay or not number:
            self.source = self._socket.getsockname()
        if isUnderWay:
            self._events = SocketEvents(self._reactor, self._socket, self._connecting)
            self._events.wantRoom(True)
        elif number:
            self._socket.close()
            self._ended(self._place.whyNot(number))
        else:
            self._connected()

    def _connecting(self) -> None:
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._ended(self._place.whyNot(number))
            return
        with suppress(OSError):
            self._socket.getpeername()
            self._connected()

    def _connected(self) -> None:
        """
        Start reading: the socket is connected.
        """
        raise NotImplementedError

    def _begin(self) -> None:
        """
        Note that probes can be sent.
        """
        self.isOpen, self._why = True, ""
        self._isReady()
        self._session.opened(self)

    def _ended(self, why: str) -> None:
        """
        Note that the connection is gone, or could not be made.
        """
        self.isOpen, self._why = False, why
        if self._events is not None:
            self._events.close()
            self._events = None
        numbers, isOther = self._answers.end()
        reason = f"{why}; what came before is no echo" if isOther else why
        for number in numbers:
            self._session.lost(number, REPORTED, reason)
        self._isReady()
        self._session.closed(self, why)
        self._session.wasRead()

    def giveUp(self, why: str) -> None:
        """
        Stop waiting for a connection.
        """
        if self._why == _CONNECTING:
            self._ended(why)

    def stop(self) -> None:
        """
        Stop reading.
        """
        self.isOpen = False
        if self._events is not None:
            self._events.close()
            self._events = None

    def close(self) -> None:
        """
        Do nothing: a stream that was never started has no socket.
        """

    # Probes

    def send(self, number: int, data: bytes) -> str:
        """
        Send a probe.

        :return: why it never left; empty if it left.
        """
        if not self.isOpen:
            why = self._why
            if why != _CONNECTING:
                self.connect()
            return why
        if not self.hasRoom():
            return "the connection takes no more"
        self._answers.expect(number, len(data))
        self._write(number, data)
        return ""

    def sentAll(self) -> None:
        """
        Do nothing.
        """

    def hasRoom(self) -> bool:
        """
        Tell whether everything written before has left.
        """
        raise NotImplementedError

    def _write(self, number: int, data: bytes) -> None:
        raise NotImplementedError

    def waitUntil(self, at: int) -> bool:
        """
        Wait for answers until a time, and read them.

        :return: whether that is possible.
        """
        return False

    def read(self) -> None:
        """
        Read what has come in.
        """

    def leftAt(self, number: int) -> int:
        """
        Return when a probe left, by the kernel's timestamp; 0 if unknown.
        """
        return 0

    def queuedAt(self, number: int) -> int:
        """
        Return when a probe was queued, by the kernel's timestamp; 0 if unknown.
        """
        return 0

    def _received(self, data: bytes, stamped: int = 0) -> None:
        """
        Take the next bytes of the stream.
        """
        arrival = arrivalNow(stamped)
        for number, expected, got in self._answers.take(data):
            self._session.replied(number, got, arrival, expected)
        if self._answers.rest():
            self._session.strange += 1
