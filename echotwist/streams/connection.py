"""
Connections, of TCP and UNIX, that survive what the kernel has no room for.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from twisted.internet import tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

from echotwist.sockets.options import queued, setLinger, stopLingering, unread
from echotwist.streams.wrappers import halfCloseTarget

#: Seconds between two checks whether a connection can be closed: at first, and later.
FIRST_CLOSE_CHECK, LAST_CLOSE_CHECK = 0.01, 1.0

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
WATCH_TRIES = 3

Later = TypeVar("Later", bound=int | None)


class Connection(tcp.Server):
    """
    A connection that survives what the kernel has no room for, and that knows
    why it was lost.

    :ivar lastError: why, as the number of an error; 0 if there was none.
    """

    #: The :class:`StreamPort` that accepted it.
    server: Any
    #: The address of the client behind a proxy, if the header named one.
    peer: IAddress | None = None
    #: Seconds of ``SO_LINGER``; ``None`` waits as long as it takes.
    lingers: int | None = None
    lastError = 0
    _saidAll = False
    _lingering: IDelayedCall | None = None

    def getPeer(self) -> IAddress:
        """
        Give the peer's address.
        """
        peer: IAddress = self.peer or self.server.addressOf(self.client)
        return peer

    def getHost(self) -> IAddress:
        """
        Give our own address.
        """
        host: IAddress = self.server.addressOf(self.socket.getsockname())
        return host

    def setProtocol(self, protocol: IProtocol) -> None:
        """
        Have another protocol go on from here.
        """
        self.protocol = protocol

    def readConnectionLost(self, reason: Failure) -> None:
        """
        The peer has sent its last byte.
        """
        nextProtocol = halfCloseTarget(self.protocol)
        if nextProtocol is None:
            self.connectionLost(reason)
        else:
            nextProtocol.readConnectionLost()

    def doRead(self) -> Any:
        """
        Read what has come.
        """
        try:
            data = self.socket.recv(self.bufferSize)
        except OSError as error:
            return self._failed("receive", error, None)
        return self._dataReceived(data)

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:
        """
        Write what the kernel takes.
        """
        try:
            return self.socket.send(memoryview(data)[: self.SEND_LIMIT])
        except OSError as error:
            return self._failed("send", error, 0)

    def _failed(self, call: str, error: OSError, later: Later) -> Later | ConnectionLost:
        if error.errno == errno.EAGAIN:
            return later
        if error.errno in _LATER:
            self.server.limitedLog.failed(call, error)
            return later
        self.lastError = self.lastError or error.errno or 0
        if error.errno not in _ENDINGS:
            self.server.limitedLog.failed(call, error)
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
        for left in reversed(range(WATCH_TRIES)):
            try:
                change()
            except OSError as error:
                if left:
                    continue
                if not (self.connected or self.disconnected):
                    raise
                self.server.limitedLog.failed("watch", error)
                self.server.reactor.callLater(0, self.connectionLost, Failure(CONNECTION_LOST))
            return

    def _postLoseConnection(self) -> ConnectionDone | None:
        """
        All is written: send FIN, and wait until the peer has taken everything.  If there is
        something that we have not read, close(2) resets the connection; a FIN before that
        would look as if all had come.

        close(2) now would leave the rest to the kernel, which does not watch for stalls;
        and with ``SO_LINGER`` the call itself would block, on a non-blocking socket too
        (Linux 6.18), and all other connections with it.
        """
        if self.lingers == 0 or not queued(self):
            return CONNECTION_DONE
        if not unread(self):
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
        self._saidAll = True
        if self.lingers is not None:
            self._lingering = self.server.reactor.callLater(self.lingers, self.abortConnection)
        self.server.reactor.callLater(FIRST_CLOSE_CHECK, self._closeWhenTaken, FIRST_CLOSE_CHECK)
        return None

    def _closeWhenTaken(self, pause: float) -> None:
        if not self.connected:
            return
        self.lastError = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if self.lastError:
            self.connectionLost(Failure(CONNECTION_LOST))
        elif queued(self):
            pause = min(2 * pause, LAST_CLOSE_CHECK)
            self.server.reactor.callLater(pause, self._closeWhenTaken, pause)
        else:
            self.connectionLost(Failure(CONNECTION_DONE))

    def closeInBackground(self) -> None:
        """
        Close, and leave to the kernel what the peer has yet to take.
        """
        if self._saidAll and self.connected:
            self.connectionLost(Failure(CONNECTION_DONE))
        else:
            self.abortConnection()

    def _closeSocket(self, orderly: bool) -> None:
        if orderly and self.lingers:
            with suppress(OSError):
                stopLingering(self.socket)
        super()._closeSocket(orderly)

    def connectionLost(self, reason: Failure) -> None:
        """
        The connection is gone.
        """
        if hasattr(self, "socket") and not self.lastError:
            with suppress(OSError):
                self.lastError = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        if reason.check(ConnectionAborted):
            self._leaveRest()
        super().connectionLost(reason)

    def _leaveRest(self) -> None:
        """
        Hand the kernel all that was read from a UNIX socket, beyond its usual limit.

        UNIX sockets know no reset: the peer reads what the kernel has, and then the end,
        as if that were all.  Only if we left something unread it gets ``ECONNRESET`` then
        (``unix_release_sock``, Linux 6.18).
        """
        if not hasattr(self, "socket") or self.socket.family != getattr(socket, "AF_UNIX", None):
            return
        rest = self.dataBuffer[self.offset :] + b"".join(self._tempDataBuffer)
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**30)
            self.socket.send(rest)


def lingering(seconds: int, connection: type[Connection] = Connection) -> type[Connection]:
    """
    Make the class of connections that close as ``SO_LINGER`` says: wait so long for
    the peer to take what is left, and then reset it.

    :param connection: what they are otherwise.
    """

    class LingeringConnection(connection):  # type: ignore[misc,valid-type]
        """
        A connection that waits so long.
        """

        lingers = seconds
        # After a FIN, of shutdown(2), there would be nothing to reset.
        _shouldShutdown = seconds > 0

    return LingeringConnection


def refuse(stream: socket.socket) -> None:
    """
    Reset a connection, so that its peer knows at once.
    """
    with suppress(OSError):
        setLinger(stream, 0)
    stream.close()
