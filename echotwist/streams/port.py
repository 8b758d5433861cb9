"""
The port that accepts connections.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import Any, Literal, cast

from twisted.internet import tcp
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorFDSet
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from echotwist.recovery import RecoveringPort
from echotwist.sockets.addresses import placeOf, scoped
from echotwist.sockets.options import openSpare
from echotwist.streams.connection import Connection, refuse
from echotwist.streams.wrappers import innermostProtocol
from echotwist.telemetry.log import RateLimitedLog

#: Connections accepted in one go, before other sockets have their turn.
ACCEPTS_AT_ONCE = 64

#: The factor by which the next go may accept more, if connections filled this one.
GROWTH = 1.125

#: Seconds without accepting, after the system had no room for another connection.
ACCEPT_PAUSE = 0.1

#: How often in a row a socket may turn out not to listen.
MAX_LOSSES = 8


class StreamPort(RecoveringPort, tcp.Port):
    """
    A port on a socket that already listens.

    :param listener: the socket, which this port takes over.
    :param factory: makes the protocol of each connection.
    :param limitedLog: counts and logs errors that do not close the port.
    :param reactor: the reactor that waits for connections.
    :param backlog: connections that may wait to be accepted.
    :ivar accepts: how many are accepted in one go.
    :ivar likely: how many will probably wait next time.
    """

    accepts = ACCEPTS_AT_ONCE
    transport: type[Connection] = Connection
    factory: Factory

    def __init__(
        self,
        listener: socket.socket,
        factory: IProtocolFactory,
        limitedLog: RateLimitedLog,
        reactor: IReactorFDSet,
        backlog: int = 50,
    ) -> None:
        host, port = placeOf(listener)
        super().__init__(port, factory, backlog, host, reactor)
        self._preexistingSocket = listener
        self.remember(listener, limitedLog.counters.transport)
        self._losses = 0
        self.limitedLog = limitedLog
        self._spare: int | None = None

    def startListening(self) -> None:
        """
        Start accepting.

        Twisted's own method opens a file first, which after chroot(2) may not exist.
        """
        if self.connected:
            return
        listener: Any = self._preexistingSocket
        self._preexistingSocket = None
        self._shouldShutdown = False
        self._realPortNumber = self._numberOf(listener)
        self._spare = openSpare()
        self.likely: float = self.accepts
        self.factory.doStart()
        self.connected = True
        self.socket = listener
        self.fileno = listener.fileno  # type: ignore[method-assign]
        self.startReading()

    def _numberOf(self, listener: socket.socket) -> Any:
        """
        Return the number or name by which the log calls the port.
        """
        return listener.getsockname()[1]

    def getHost(self) -> IAddress:
        """
        Return our own address, which is known before the port listens.
        """
        return self.addressOf((self._preexistingSocket or self.socket).getsockname())

    def doRead(self) -> None:
        """
        Accept waiting connections, about as many as last time: a call that finds none costs time.
        """
        if not self.accept(int(self.likely)):
            self.examine()

    def acceptOne(self) -> tuple[int, Any] | Literal[True] | None:
        """
        Accept a connection, or raise an ``OSError``.

        :return: its descriptor and the name of its peer, or true if it is already served;
            ``None`` if no connection waits.
        """
        with suppress(BlockingIOError):
            # socket.accept() does the same, but first asks the new socket what it is.
            return cast(tuple[int, Any], self.socket._accept())  # type: ignore[attr-defined]
        return None

    def accept(self, most: int) -> bool:
        """
        Accept up to so many waiting connections.

        :return: whether there was a connection, or an error.
        """
        for number in range(most):
            try:
                found = self.acceptOne()
            except OSError as error:
                if self.failedToAccept(error):
                    return True
                continue
            if found is None:
                self.accepted(number, most)
                return number > 0
            if found is not True:
                self.welcome(*found)
        self.accepted(most, most)
        return True

    def accepted(self, count: int, most: int) -> None:
        """
        Note how many connections waited, for the next time.

        :param most: how many would have been accepted.
        """
        self._losses = 0
        if count < most:
            self.likely = max(count, 1)
        elif self.likely * GROWTH <= self.accepts:
            self.likely *= GROWTH

    def failedToAccept(self, error: OSError) -> bool:
        """
        Handle an error of accept(2).

        :return: whether the next try would fail too.
        """
        self.failed("accept", error)
        return error.errno == errno.EINVAL or self._hasNoRoom(error)

    def welcome(self, fd: int, name: Any) -> None:
        stream = socket.socket(self.addressFamily, socket.SOCK_STREAM, self.socket.proto, fd)
        try:
            self._serve(stream, self.clientOf(name))
        except Exception:
            # A plugin's wrapper around the echo may raise anything.
            self.limitedLog.broke("accept")
            refuse(stream)

    def clientOf(self, name: Any) -> tuple[Any, ...]:
        """
        Turn the name that ``accept`` returned into the address that a connection keeps.
        """
        return scoped(name)

    def addressOf(self, name: Any) -> IAddress:
        """
        Make an ``IAddress`` from the name that ``accept`` or ``getsockname`` returned.
        """
        return cast(IAddress, self._buildAddr(scoped(name)))

    def handleRest(self) -> None:
        """
        Accept the connections that wait in the kernel's queue, before the port is
        closed; but no newer ones, which may never stop coming.
        """
        self.accept(self.backlog + 1)  # Linux queues one more

    def _serve(self, stream: socket.socket, peer: Any) -> None:
        try:
            protocol = self.factory.buildProtocol(self.addressOf(peer))
            if protocol is None or innermostProtocol(protocol) is None:
                refuse(stream)
                return
            transport = self.transported(stream, protocol, peer)
        except OSError as error:
            self.limitedLog.failed("accept", error)
            refuse(stream)
            return
        try:
            protocol.makeConnection(transport)
        except Exception:
            self.limitedLog.broke("accept")
            transport.abortConnection()

    def transported(self, stream: socket.socket, protocol: IProtocol, peer: Any) -> Connection:
        """
        Make the transport of a connection.

        :raise OSError: the reactor cannot watch it.
        """
        number, self.sessionno = self.sessionno, self.sessionno + 1
        return self.transport(stream, protocol, peer, self, number, self.reactor)

    def _hasNoRoom(self, error: OSError) -> bool:
        """
        Handle a lasting error, which would otherwise wake the port again and again.

        :return: whether it is such an error; others concern one connection.
        """
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
            return False
        if error.errno in (errno.EMFILE, errno.ENFILE) and self._spare is not None:
            self._refuseOne(self._spare)
        else:
            self.stopReading()
            self.reactor.callLater(ACCEPT_PAUSE, self._acceptAgain)
        return True

    def _refuseOne(self, spare: int) -> None:
        """
        Give up the spare descriptor to accept the next connection, and reset it.
        """
        os.close(spare)
        with suppress(OSError):
            refuse(self.socket.accept()[0])
        self._spare = openSpare()

    def _acceptAgain(self) -> None:
        if self.connected and not self.disconnecting:
            self._spare = self._spare if self._spare is not None else openSpare()
            self.startReading()

    def failed(self, call: str, error: OSError) -> None:
        """
        Note an error, and check whether the socket still listens (accept(2)).

        :param call: the action that failed, in a word: ``accept``.
        """
        self.limitedLog.failed(call, error)
        if call != "accept" or error.errno != errno.EINVAL:
            return
        self._losses += 1
        if self._losses > MAX_LOSSES:
            self.lose(error)
        else:
            self.renew()

    def restore(self) -> None:
        """
        Let the socket listen again, unless another process that shares it was faster.

        :raise OSError: the socket cannot listen.
        """
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return
        super().restore()
        self.socket.listen(self.backlog)
        # Connections would inherit the shutdown of the socket; only this call clears it.
        self.socket.shutdown(socket.SHUT_RD)
        self.socket.listen(self.backlog)

    def connectionLost(self, reason: Failure) -> None:
        """
        Go on after an event that the reactor takes for the end; close when the service stops.
        """
        if self.survives():
            return
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        super().connectionLost(reason)
