"""
TCP connections that write at once, and echo bulk without copying it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.address import IPv6Address
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

from echotwist.fast import messages
from echotwist.fast.splice import relay
from echotwist.streams.connection import Connection
from echotwist.streams.counted import CountedEcho

#: Bytes; a peer that has been sent so many has read some.  The kernel gives a large
#: buffer, up to 32 MiB (Linux 6.18), only to a peer that reads fast.
PROVEN = 8_388_608


class FastConnection(Connection):
    """
    A connection that writes at once, if nothing waits to be written.

    Bytes that the kernel does not take wait for the reactor, as on any connection.

    :ivar _isClear: nothing waits to be written, and the connection takes more.
    :ivar _exact: the protocol, if it does nothing but echo.
    :ivar _echo: the function that echoes received bytes, where that is all there is to do.
    """

    # Each message needs these, and slots are the fastest attributes.
    __slots__ = ("_echo", "_exact", "_fd", "_isClear", "_isWriting", "bufferSize")

    # close(2) also does what shutdown(2) would.
    _shouldShutdown = False
    _exact: CountedEcho | None
    _echo: Callable[[int], Any]

    def __init__(
        self,
        stream: socket.socket,
        protocol: Any,
        client: tuple[Any, ...],
        server: Any,
        sessionno: int,
        reactor: Any,
    ) -> None:
        # The constructor of tcp.Server would make two texts for each peer.
        tcp.Connection.__init__(self, stream, protocol, reactor)
        if len(client) != 2:
            self._addressType = IPv6Address
        self.client = client
        self.server = server
        self.sessionno = sessionno
        self._fd = stream.fileno()
        self._isClear = True
        self._isWriting = False
        self._echo = messages.echo
        self._exact = exactly(protocol)
        self.bufferSize = Connection.bufferSize
        self.startReading()
        self.connected = 1

    def setProtocol(self, protocol: Any) -> None:
        """
        Hand the connection over to another protocol.
        """
        self._leave()
        super().setProtocol(protocol)
        self._exact = exactly(protocol)

    def logPrefix(self) -> str:
        """
        Return the log prefix of its events.
        """
        protocol = getattr(self, "protocol", None)
        return f"{self._getLogPrefix(protocol)},{self.sessionno},{self.client[0]}"

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} #{self.sessionno} of {self.client[0]}>"

    def doRead(self) -> Any:
        """
        Read bytes that have come, and handle them.
        """
        if self._exact is None or not self._isClear:
            return super().doRead()
        rest = self._echo(self._fd)
        if not self._exact.watched:
            self._count()
        if rest is not None:
            return self._goOn(*rest)
        if hasattr(self.reactor, "addUsual"):
            self.reactor.addUsual(self, self._echo)
        return None

    def doUnusual(self, data: bytes | None, outcome: Any) -> Any:
        """
        Take over where :func:`messages.echo` or :func:`splice.relay` gave up.

        :param data: the bytes that it read; ``None`` if it could not.
        :param outcome: how many of these bytes it wrote, or the error of the write; the
            number of the error if it could not read.
        """
        self._leave()
        return self._goOn(data, outcome)

    def _goOn(self, data: bytes | None, outcome: Any) -> Any:
        if data is None:
            return self._failed("receive", OSError(outcome, os.strerror(outcome)), None)
        if not data:
            return CONNECTION_DONE
        if isinstance(outcome, OSError):
            self._failed("send", outcome, 0)
            outcome = 0
        size = len(data)
        if outcome != size:
            super().write(data[outcome:])
        assert self._exact is not None
        self._exact.passed(size)
        isBulk = size == self.bufferSize and self._exact.received >= PROVEN
        self._echo = relay() if isBulk else messages.echo
        return None

    def settle(self) -> bool:
        """
        Count the bytes that the echo function echoed.  If there are none, unregister it
        until there is something to read again.

        :return: whether there were any.
        """
        isMoving = self._count()
        if not isMoving:
            self._leave()
            self._echo = messages.echo
        return isMoving

    def _leave(self) -> None:
        if hasattr(self.reactor, "removeUsual"):
            self.reactor.removeUsual(self)
        self._count()

    def _count(self) -> bool:
        size = messages.taken(self._fd)
        if size and self._exact is not None:
            self._exact.passed(size)
        return size > 0

    def write(self, data: bytes) -> None:
        """
        Write data, at once if nothing waits before it.
        """
        if self._isClear:
            sent = 0
            try:
                sent = os.write(self._fd, data)
            except OSError as error:
                # A lasting error shows again when the reactor tries.
                self._failed("send", error, 0)
            if sent == len(data):
                return
            data = data[sent:]
        super().write(data)

    def startReading(self) -> None:
        """
        Let the reactor call when there is something to read.
        """
        try:
            self.reactor.addReader(self)
        except OSError:
            super().startReading()

    def stopReading(self) -> None:
        """
        Stop reading: bytes that come wait in the kernel.
        """
        try:
            self.reactor.removeReader(self)
        except OSError:
            super().stopReading()

    def startWriting(self) -> None:
        """
        Let the reactor call when there is room to write.
        """
        self._isClear = False
        self._isWriting = True
        super().startWriting()

    def stopWriting(self) -> None:
        """
        Stop writing: nothing waits to be written.
        """
        if self._isWriting:
            self._isWriting = False
            self._isClear = bool(self.connected and not (self.disconnecting or self._aborting))
            super().stopWriting()

    def connectionLost(self, reason: Failure) -> None:
        """
        The connection is closed, and another one may soon get its descriptor.
        """
        if hasattr(self, "socket"):
            self._count()
        self._isClear = False
        self._exact = None
        super().connectionLost(reason)


def exactly(protocol: Any) -> CountedEcho | None:
    """
    Return the protocol, if it does nothing but echo.
    """
    return protocol if isinstance(protocol, CountedEcho) and protocol.isExact else None
