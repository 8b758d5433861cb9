"""
Probes in a stream: TCP, TLS, UNIX.

Each is answered at its place in the stream, so a reply is known by where it stands.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred

from echotwist.probe.books import REPORTED
from echotwist.probe.dialing import Place, ProbeError
from echotwist.probe.events import arrivalNow
from echotwist.probe.schedule import SECOND
from echotwist.probe.session import Session
from echotwist.probe.watch import Watch
from echotwist.sockets.errors import inWords

#: Bytes that are read at once, and how often before others have their turn.
_AT_ONCE, _TIMES = 2**18, 16

#: Says that a connection is still being made.
_CONNECTING = "there is no connection yet"

#: What connect(2) gives while a connection is being made.
_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)


class Stream:
    """
    Carry probes through a connection, and through a new one when that has ended.

    :param reactor: waits.
    :param open: opens the socket, not yet connected.
    :param place: where to connect to.
    """

    isStamped = False
    dropped = 0

    def __init__(self, reactor: Any, open: Callable[[], socket.socket], place: Place) -> None:
        self._reactor = reactor
        self._open = open
        self._place = place
        self._watch: Watch | None = None
        self._why = ""  # there is no connection
        self._isOpen = False
        self._awaited: deque[tuple[int, int]] = deque()  # Numbers and sizes.
        self._came = bytearray()
        self._ready: Deferred[None] | None = None
        self.source: Any = None

    def start(self, session: Session) -> None:
        """
        Begin to connect.

        :param session: hears what comes in.
        """
        self._session = session
        self._connect()

    def ready(self, patience: int) -> Deferred[None]:
        """
        Wait for the connection, or for it to fail.

        :param patience: nanoseconds to wait at the most.
        """
        ready: Deferred[None] = Deferred()
        self._ready = ready
        timeout = self._reactor.callLater(patience / SECOND, self._isReady)
        ready.addCallback(lambda _: timeout.active() and timeout.cancel())
        if self._why != _CONNECTING:
            self._isReady()
        return ready

    def _isReady(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.callback(None)

    # A connection

    def _connect(self) -> None:
        self._why = _CONNECTING
        try:
            self._socket = self._open()
        except ProbeError as error:
            self._ended(str(error))
            return
        number = self._socket.connect_ex(self._place.address)
        if number in _UNDER_WAY:
            self._watch = Watch(self._reactor, self._socket, self._connecting)
            self._watch.wantRoom(True)
        elif number:
            self._socket.close()
            self._ended(inWords(OSError(number, os.strerror(number))))
        else:
            self._connected()

    def _connecting(self) -> None:
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._ended(inWords(OSError(number, os.strerror(number))))
            return
        with suppress(OSError):
            self._socket.getpeername()
            self._connected()

    def _connected(self) -> None:
        """
        The socket is connected: begin to read from it.
        """
        raise NotImplementedError

    def _begin(self) -> None:
        """
        Probes can be sent from now on.
        """
        self._isOpen, self._why = True, ""
        self._isReady()

    def _ended(self, why: str) -> None:
        """
        The connection is gone, or never came about.
        """
        self._isOpen, self._why = False, why
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        for number, _ in self._awaited:
            self._session.lost(number, REPORTED, why)
        self._awaited.clear()
        self._came.clear()
        self._isReady()
        self._session.wasRead()

    def stop(self) -> None:
        """
        Read no more.
        """
        self._isOpen = False
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def close(self) -> None:
        """
        Nothing is open, if it was never started.
        """

    # Probes

    def send(self, number: int, data: bytes) -> str:
        """
        Send a probe.

        :return: why it never left, or nothing.
        """
        if not self._isOpen:
            why = self._why
            if why != _CONNECTING:
                self._connect()
            return why
        if not self._hasRoom():
            return "the connection takes no more"
        self._awaited.append((number, len(data)))
        self._write(number, data)
        return ""

    def _hasRoom(self) -> bool:
        """
        Tell whether all that was written before is gone.
        """
        raise NotImplementedError

    def _write(self, number: int, data: bytes) -> None:
        raise NotImplementedError

    def read(self) -> None:
        """
        Take what has come in.
        """

    def leftAt(self, number: int) -> int:
        """
        Tell when a probe left, by the kernel's stamp; 0 if that is not known.
        """
        return 0

    def queuedAt(self, number: int) -> int:
        """
        Tell when a probe was queued, by the kernel's stamp; 0 if that is not known.
        """
        return 0

    def _received(self, data: bytes, stamped: int = 0) -> None:
        """
        Take what came next in the stream.
        """
        self._came += data
        arrival = arrivalNow(stamped)
        while self._awaited and len(self._came) >= self._awaited[0][1]:
            number, size = self._awaited.popleft()
            self._session.replied(number, bytes(self._came[:size]), arrival)
            del self._came[:size]
        if self._came and not self._awaited:
            self._session.strange += 1
            self._came.clear()
