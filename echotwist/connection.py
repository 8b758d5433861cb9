"""
TCP connections that survive what the kernel has no room for.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet import tcp
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure

from echotwist.sockets import queued, setLinger, stopLingering

#: Seconds after which a socket is looked at first, to see whether it can be closed.
FIRST_LOOK = 0.01

#: Errors that say "not now": the bytes stay where they are.
_LATER = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ENOBUFS, errno.ENOMEM)

#: Errors that say that the peer, or the way to it, is gone.
_ENDINGS = (
    errno.ECONNRESET,
    errno.EPIPE,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
)

#: How often a change of what the reactor watches is tried.
TRIES = 3


class Connection(tcp.Server):
    """
    A connection that survives what the kernel has no room for, and that knows
    why it was lost.

    :ivar lastError: why, as the number of an error; 0 if it was not.
    """

    #: The :class:`StreamPort` that accepted it.
    server: Any
    lastError = 0

    def doRead(self) -> Any:
        """
        Read what has come.
        """
        try:
            data = self.socket.recv(self.bufferSize)
        except OSError as error:
            return self._failed("receive", error, None)
        return self._dataReceived(data)

    def writeSomeData(self, data: bytes) -> Any:
        """
        Write what the kernel takes.
        """
        try:
            return self.socket.send(memoryview(data)[: self.SEND_LIMIT])
        except OSError as error:
            return self._failed("send", error, 0)

    def _failed(self, call: str, error: OSError, later: int | None) -> Any:
        if error.errno == errno.EAGAIN:
            return later
        if error.errno in _LATER:
            self.server.journal.failed(call, error)
            return later
        self.lastError = error.errno or 0
        if error.errno not in _ENDINGS:
            self.server.journal.failed(call, error)
        return CONNECTION_LOST

    def startReading(self) -> None:
        """
        Have the reactor tell when there is something to read.
        """
        self._watch(super().startReading)

    def stopReading(self) -> None:
        """
        Let what comes wait.
        """
        self._watch(super().stopReading)

    def startWriting(self) -> None:
        """
        Have the reactor tell when there is room to write.
        """
        self._watch(super().startWriting)

    def stopWriting(self) -> None:
        """
        There is nothing to write.
        """
        self._watch(super().stopWriting)

    def _watch(self, change: Callable[[], object]) -> None:
        """
        Change what the reactor watches; a connection that it cannot watch is lost.

        :raise OSError: for a connection that has not begun yet.
        """
        for left in reversed(range(TRIES)):
            try:
                change()
            except OSError as error:
                if left:
                    continue
                if not (self.connected or self.disconnected):
                    raise
                self.server.journal.failed("watch", error)
                self.server.reactor.callLater(0, self.connectionLost, Failure(CONNECTION_LOST))
            return

    def connectionLost(self, reason: Failure) -> None:
        """
        The connection is gone.
        """
        if hasattr(self, "socket") and not self.lastError:
            with suppress(OSError):
                self.lastError = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        super().connectionLost(reason)


def lingering(seconds: int) -> type[Connection]:
    """
    Make the class of connections whose close does what ``SO_LINGER`` says:
    wait so long for the peer to take what is left, and then reset it.

    The kernel itself would wait in close(2), non-blocking or not (Linux 6.18),
    and everybody else with it.
    """

    class LingeringConnection(Connection):
        """
        A connection that is closed in its own time.
        """

        # To send FIN first, in shutdown(2), would leave nothing to reset.
        _shouldShutdown = seconds > 0

        def _closeSocket(self, orderly: bool) -> None:
            if orderly and seconds:
                Farewell(self.socket, self.server.reactor, seconds)
            else:
                super()._closeSocket(orderly)

    return LingeringConnection


class Farewell:
    """
    A socket that is closed when its peer has taken what is left, or reset
    after a time.

    :param stream: has nothing more to say.
    :param reactor: tells the time and calls later (``IReactorTime``).
    :param seconds: how long to wait.
    """

    def __init__(self, stream: socket.socket, reactor: Any, seconds: int) -> None:
        self._stream = stream
        self._reactor = reactor
        self._end = reactor.seconds() + seconds
        with suppress(OSError):
            stream.shutdown(socket.SHUT_WR)
        self._look(FIRST_LOOK)

    def _look(self, pause: float) -> None:
        if self._reactor.seconds() >= self._end:
            refuse(self._stream)
        elif queued(self._stream):
            self._reactor.callLater(pause, self._look, min(2 * pause, 1.0))
        else:
            stopLingering(self._stream)
            self._stream.close()


def refuse(stream: socket.socket) -> None:
    """
    Reset a connection, so that its peer knows at once.
    """
    with suppress(OSError):
        setLinger(stream, 0)
    stream.close()
