"""
Echo of streams: TCP, and whatever else Twisted calls a stream transport.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from twisted.internet import tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from echotwist.addresses import peerText, scoped
from echotwist.journal import Journal
from echotwist.prefix import LinePrefix
from echotwist.sockets import setLinger

#: Bytes read at once, and kept for a peer that is slow to take them.
CHUNK = 65536

#: Connections accepted in one go, before others have their turn.
ACCEPTS = 64

#: Seconds without accepting, after the system had no room for one more.
BREATH = 0.1


@implementer(IHalfCloseableProtocol)
class Echo(Protocol):
    """
    Give back each byte that comes in, in order, and then the end (RFC 862).

    The transport is its own producer: while its peer takes no more it stops
    reading, so that nothing piles up here.

    :param owner: is told when the connection begins and ends, if given.
    :ivar received: how many bytes have come in.
    """

    #: An ``ITransport``, ``IConsumer`` and ``IPushProducer`` in one, as all of
    #: Twisted's stream transports are.
    transport: Any

    def __init__(self, owner: EchoFactory | None = None) -> None:
        self.owner = owner
        self.received = 0

    def connectionMade(self) -> None:
        """
        Tie reading to writing.
        """
        self.transport.registerProducer(self.transport, True)
        if self.owner is not None:
            self.owner.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Give back what came in.
        """
        self.received += len(data)
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        """
        The peer has sent its last byte: give back what is left, then end.
        """
        # A transport with a producer would wait for more, and never close.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        Never called: both directions are closed together.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone, for whatever reason.
        """
        if self.owner is not None:
            self.owner.closed(self, reason)


class PrefixEcho(Echo):
    """
    Echo with a text before each line: ``You said : ``.

    :param prefix: the text, in bytes.
    """

    def __init__(self, prefix: bytes, owner: EchoFactory | None = None) -> None:
        super().__init__(owner)
        self._prefixed = LinePrefix(prefix)
        # A segment of nothing but newlines grows by this factor.
        self._chunk = max(1, CHUNK // (1 + len(prefix)))

    def connectionMade(self) -> None:
        """
        Tie reading to writing, in pieces that stay small with the prefixes.
        """
        self.transport.bufferSize = self._chunk
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """
        Give back what came in, with the prefixes.
        """
        self.received += len(data)
        self.transport.write(self._prefixed(data))


class EchoFactory(Factory):
    """
    Make an echo for each connection.

    :param prefix: bytes put before each line; none for an exact echo.
    :param verbose: log each connection when it has ended.
    :param clock: tells the time in seconds.
    """

    noisy = False
    _log = Logger("echotwist")

    def __init__(
        self,
        prefix: bytes = b"",
        verbose: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.prefix = prefix
        self._verbose = verbose
        self._clock = clock
        self._since: dict[Echo, float] = {}

    def buildProtocol(self, addr: IAddress | None) -> Echo:
        """
        Make the echo for one connection.
        """
        echo = PrefixEcho(self.prefix, self) if self.prefix else Echo(self)
        echo.factory = self
        return echo

    def opened(self, echo: Echo) -> None:
        """
        Hear from an echo that its connection began.
        """
        self._since[echo] = self._clock()

    def closed(self, echo: Echo, reason: Failure) -> None:
        """
        Hear from an echo that its connection ended.
        """
        seconds = self._clock() - self._since.pop(echo)
        if self._verbose:
            self._log.info(
                "TCP {peer} {end}: {bytes} bytes in {seconds:.3f} s",
                peer=peerText(_hostAndPort(echo.transport.getPeer())),
                bytes=echo.received,
                seconds=seconds,
                end=_ENDS.get(reason.type, reason.getErrorMessage()),
            )


_ENDS: dict[object, str] = {
    ConnectionDone: "closed",
    ConnectionLost: "lost (reset, or no longer there)",
    ConnectionAborted: "reset by us",
}


def _hostAndPort(address: Any) -> tuple[str, int]:
    return address.host, address.port


class ResettingServer(tcp.Server):
    """
    A connection with ``SO_LINGER`` of 0: close resets it.
    """

    # shutdown(2) would send FIN first, and leave nothing to reset.
    _shouldShutdown = False


class LingeringServer(tcp.Server):
    """
    A connection with ``SO_LINGER`` of some seconds: close waits so long for
    the peer to take what is left.
    """

    reactor: Any

    def _closeSocket(self, orderly: bool) -> None:
        if orderly:
            # close(2) waits although the socket is non-blocking (Linux 6.18).
            self.reactor.callInThread(self.socket.close)
        else:
            super()._closeSocket(orderly)


class StreamPort(tcp.Port):
    """
    A port on a socket that listens already.

    :param listener: the socket, which this port takes over.
    :param factory: makes the protocol of each connection.
    :param journal: is told of the errors that were survived.
    :param reactor: waits for connections.
    """

    factory: Any
    reactor: Any

    def __init__(
        self, listener: socket.socket, factory: Factory, journal: Journal, reactor: Any
    ) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__(port, factory, interface=host, reactor=reactor)
        self._preexistingSocket = listener
        self._journal = journal
        self._spare = _openSpare()

    def doRead(self) -> None:
        """
        Accept connections that wait.
        """
        for _ in range(ACCEPTS):
            try:
                stream, peer = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._journal.failed("TCP accept", error)
                self._survive(error)
                return
            self._serve(stream, peer)

    def _serve(self, stream: socket.socket, peer: Any) -> None:
        try:
            peer = scoped(peer)
            protocol = self.factory.buildProtocol(self._buildAddr(peer))
            if protocol is None:
                refuse(stream)
                return
            number, self.sessionno = self.sessionno, self.sessionno + 1
            transport = self.transport(stream, protocol, peer, self, number, self.reactor)
        except OSError as error:
            self._journal.failed("TCP accept", error)
            refuse(stream)
            return
        protocol.makeConnection(transport)

    def _survive(self, error: OSError) -> None:
        """
        Keep an error that lasts from waking us again at once, for ever.
        """
        if error.errno in (errno.EMFILE, errno.ENFILE) and self._spare is not None:
            self._refuseOne(self._spare)
        elif error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
            self.stopReading()
            self.reactor.callLater(BREATH, self._acceptAgain)

    def _refuseOne(self, spare: int) -> None:
        """
        Give up the spare descriptor to learn who waits, and turn them away.
        """
        os.close(spare)
        with suppress(OSError):
            refuse(self.socket.accept()[0])
        self._spare = _openSpare()

    def _acceptAgain(self) -> None:
        if self.connected and not self.disconnecting:
            self._spare = self._spare if self._spare is not None else _openSpare()
            self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """
        Close the port, and what it kept in reserve.
        """
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        super().connectionLost(reason)


def refuse(stream: socket.socket) -> None:
    """
    Reset a connection, so that its peer knows at once.
    """
    with suppress(OSError):
        setLinger(stream, 0)
    stream.close()


def _openSpare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return None
