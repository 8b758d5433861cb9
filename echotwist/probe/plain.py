"""
Streams over TCP and UNIX sockets.
"""

from __future__ import annotations

import socket

from echotwist.probe import kernel
from echotwist.probe.receiver import receiver
from echotwist.probe.socketevents import SocketEvents
from echotwist.probe.streams import Stream
from echotwist.sockets.errors import inWords

#: Bytes to read at once, and how many times before other sockets have their turn.
_AT_ONCE, _TIMES = 2**18, 16


class PlainStream(Stream):
    """
    A stream over TCP or a UNIX socket.

    While a single probe is under way on TCP, kernel timestamps tell when it left, when all of
    it was acknowledged, and when its reply came in.  With more probes under way the kernel's
    timestamps cannot be told apart.
    """

    def _connected(self) -> None:
        if self._events is not None:
            self._events.forget()
        one = self._socket
        isInternet = one.family in (socket.AF_INET, socket.AF_INET6)
        self.isStamped = self._wantsStamps and isInternet and kernel.askForStamps(one)
        self._written = 0
        self._unwritten = b""
        self._alone = self._left = self._queued = 0
        self._events = SocketEvents(self._reactor, one, self.read)
        self._begin()

    def hasRoom(self) -> bool:
        """
        Tell whether everything written before has left.
        """
        return not self._unwritten

    def _write(self, number: int, data: bytes) -> None:
        self._alone = number if len(self._answers) == 1 else 0
        self._left = self._queued = 0
        self._unwritten = data
        self._writeOn()
        if self._unwritten:
            self._alone = 0

    def _writeOn(self) -> None:
        try:
            count = self._socket.send(self._unwritten) if self._unwritten else 0
        except BlockingIOError:
            count = 0
        except OSError as error:
            self._ended(inWords(error))
            return
        self._written += count
        self._unwritten = self._unwritten[count:]
        if self._events is not None:
            self._events.wantRoom(bool(self._unwritten))

    def waitUntil(self, at: int) -> bool:
        """
        Wait for answers until a time, and read them, unless the reactor must watch for more.
        """
        if self._events is None or not self.isOpen or self._unwritten:
            return False
        return self._events.waitUntil(at)

    def leftAt(self, number: int) -> int:
        """
        Return when a probe left, if no other was under way.
        """
        if not self.isStamped or number != self._alone:
            return 0
        self._readNotices()
        return self._left

    def queuedAt(self, number: int) -> int:
        """
        Return when a probe was queued, if no other was under way.
        """
        return self._queued

    def read(self) -> None:
        """
        Read what has come in.
        """
        if not self.isOpen:
            return
        self._readNotices()
        self._writeOn()
        if not self.isOpen:
            return
        for _ in range(_TIMES):
            try:
                data, stamped = self._receive()
            except BlockingIOError:
                break
            except OSError as error:
                self._ended(inWords(error))
                return
            if not data:
                self._ended("the service closed the connection")
                return
            self._received(data, stamped)
            if len(data) < _AT_ONCE:
                break
        self._session.wasRead()

    def _receive(self) -> tuple[bytes, int]:
        if not self.isStamped:
            return self._socket.recv(_AT_ONCE), 0
        room = receiver(1, _AT_ONCE)
        room.receive(self._socket.fileno())
        return room.packet(0), kernel.receivedAt(room, 1)[0]

    def _readNotices(self) -> None:
        if not self.isStamped:
            return
        stamps, _ = kernel.notices(self._socket)
        for what, key, at in stamps:
            if self._isLast(key):
                self._stamped(what, at)

    def _isLast(self, key: int) -> bool:
        # The kernel counts bytes in 32 bits, and names the last byte.
        return bool(self._alone) and key == (self._written - 1) & 0xFFFFFFFF

    def _stamped(self, what: int, at: int) -> None:
        if what == kernel.LEFT:
            self._left = self._left or at
        elif what == kernel.QUEUED:
            self._queued = self._queued or at
        elif self._left:
            self._session.host.ack.add(max(0, at - self._left))
