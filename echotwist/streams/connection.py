"""
TCP and UNIX connections that survive a kernel without room.
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

#: Errors that mean "not now": the bytes stay where they are.
_LATER = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ENOBUFS, errno.ENOMEM)

#: Errors that mean that the peer, or the path to it, is gone.
ENDINGS = (
    errno.ECONNRESET,
    errno.EPIPE,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
)

#: How often to try a change of the events that the reactor watches.
WATCH_TRIES = 3

Later = TypeVar("Later", bound=int | None)


class Connection(tcp.Server):
    """
    A connection that survives when the kernel has no room, and that knows why it was
    lost.

    :ivar lastError: the number of the error that ended it; 0 if there was none.
    """

    #: The :class:`StreamPort` that accepted it.
    server: Any
    #: The address of the client behind a proxy, if the header named one.
    peer: IAddress | None = None
    #: Seconds of ``SO_LINGER``; ``None`` waits without a limit.
    lingers: int | None = None
    lastError = 0
    _saidAll = False
    _lingering: IDelayedCall | None = None

    def getPeer(self) -> IAddress:
        """
        Return the peer's address.
        """
        peer: IAddress = self.peer or self.server.addressOf(self.client)
        return peer

    def getHost(self) -> IAddress:
        """
        Return our own address.
        """
        host: IAddress = self.server.addressOf(self.socket.getsockname())
        return host

    def setProtocol(self, protocol: IProtocol) -> None:
        """
        Hand the connection over to another protocol.
        """
        self.protocol = protocol

    def readConnectionLost(self, reason: Failure) -> None:
        """
        The peer has sent its last byte, or has reset the connection: reactors tell both in
        the same way, if the error comes alone.
        """
        self.lastError = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        nextProtocol = halfCloseTarget(self.protocol)
        if self.lastError:
            self.connectionLost(Failure(CONNECTION_LOST))
        elif nextProtocol is None:
            self.connectionLost(reason)
        else:
            nextProtocol.readConnectionLost()

    def doRead(self) -> Any:
        """
        Read bytes that have come.
        """
        try:
            data = self.socket.recv(self.bufferSize)
        except OSError as error:
            return self._failed("receive", error, None)
        return self._dataReceived(data)

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:
        """
        Write as much as the kernel takes.
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
        if error.errno not in ENDINGS:
            self.server.limitedLog.failed(call, error)
        return CONNECTION_LOST

    def startReading(self) -> None:
        """
        Let the reactor call when there is something to read.
        """
        self._watch(super().startReading)

    def stopReading(self) -> None:
        """
        Stop reading: bytes that come wait in the kernel.
        """
        self._watch(super().stopReading)

    def startWriting(self) -> None:
        """
        Let the reactor call when there is room to write.
        """
        self._watch(super().startWriting)

    def stopWriting(self) -> None:
        """
        Stop writing: nothing waits to be written.
        """
        self._watch(super().stopWriting)

    def _watch(self, change: Callable[[], object]) -> None:
        """
        Change the events that the reactor watches; lose a connection that it cannot watch.

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
        All is written: send FIN, and wait until the peer has taken everything.  With bytes
        that we have not read, close(2) resets the connection; a FIN before that would tell
        the peer that it got everything.

        close(2) now would leave the rest to the kernel, which does not watch for stalls;
        and with ``SO_LINGER`` the call would block the process and so all connections, even
        on a non-blocking socket (Linux 6.18).
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
        Close, and leave the bytes that the peer has not taken to the kernel.
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
        The connection is closed.
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
        Write all bytes read from a UNIX socket into the kernel, beyond its usual limit.

        UNIX sockets have no reset: the peer reads the bytes that the kernel has, and then the
        end, as if these were all.  It gets ``ECONNRESET`` only if we left bytes unread
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
    Make a class of connections that close as ``SO_LINGER`` says: wait so long for
    the peer to take the rest, and then reset the connection.

    :param connection: the class of connections without ``SO_LINGER``.
    """

    class LingeringConnection(connection):  # type: ignore[misc,valid-type]
        """
        A connection that waits ``seconds`` at its close.
        """

        lingers = seconds
        # After a FIN from shutdown(2) there would be nothing to reset.
        _shouldShutdown = seconds > 0

    return LingeringConnection


def refuse(stream: socket.socket) -> None:
    """
    Reset a connection, so that its peer knows at once that it is refused.
    """
    with suppress(OSError):
        setLinger(stream, 0)
    stream.close()
