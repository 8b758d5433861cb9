"""
Echo of streams: TCP, and whatever else Twisted calls a stream transport.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from echotwist.addresses import peerText
from echotwist.counters import Counters
from echotwist.journal import Journal
from echotwist.limits import Limits
from echotwist.overseer import Overseer
from echotwist.prefix import LinePrefix
from echotwist.sockets import queued

#: Bytes read at once, and kept for a peer that is slow to take them.
CHUNK = 65536

#: Seconds without a byte after which a connection is over, once the service stops.
MOMENT = 0.6


@implementer(IHalfCloseableProtocol, IPushProducer)
class Echo(Protocol):
    """
    Give back each byte that comes in, in order, and then the end (RFC 862).

    It is the producer of its own transport: while the peer takes no more,
    nothing more is read, so that nothing piles up here.

    :param owner: counts, limits and watches the connection, if given.
    :ivar received: how many bytes have come in.
    :ivar ending: no more will be read.
    :ivar why: what the connection is ended for, if by us.
    """

    #: An ``ITransport``, ``IConsumer`` and ``IPushProducer`` in one, as all of
    #: Twisted's stream transports are.
    transport: Any

    def __init__(self, owner: EchoFactory | None = None) -> None:
        self.owner = owner
        self.counters = Counters() if owner is None else owner.counters
        self.received = 0
        self.ending = False
        self.why = ""

    def connectionMade(self) -> None:
        """
        Tie reading to writing.
        """
        self.transport.registerProducer(self, True)
        if self.owner is not None:
            self.owner.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Give back what came in.
        """
        size = len(data)
        self.received += size
        self.counters.receivedBytes += size
        self.counters.sentBytes += size
        self.transport.write(data)

    def pauseProducing(self) -> None:
        """
        The peer takes no more for now: stop reading.
        """
        self.transport.pauseProducing()
        if self.owner is not None:
            self.owner.paused(self)

    def resumeProducing(self) -> None:
        """
        The peer has taken all there was: read on.
        """
        self.transport.resumeProducing()
        if self.owner is not None:
            self.owner.resumed(self)

    def stopProducing(self) -> None:
        """
        The transport is closed already.
        """

    def readConnectionLost(self) -> None:
        """
        The peer has sent its last byte: give back what is left, then end.
        """
        self.finish()

    def writeConnectionLost(self) -> None:
        """
        Never called: both directions are closed together.
        """

    def finish(self) -> None:
        """
        Read no more, give back what is left, then end.
        """
        self.ending = True
        # A transport with a producer would wait for more, and never close.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

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
        reply = self._prefixed(data)
        self.received += len(data)
        self.counters.receivedBytes += len(data)
        self.counters.sentBytes += len(reply)
        self.transport.write(reply)


class EchoFactory(Factory):
    """
    Make an echo for each connection, and know all that are open.

    :param prefix: bytes put before each line; none for an exact echo.
    :param verbose: log each connection when it has ended.
    :param limits: says who is served; by default everybody.
    :param stallTimeout: seconds after which a peer is reset that has bytes
        waiting and takes none; 0 for never.
    :param idleTimeout: seconds after which a connection is ended on which
        nothing came; 0 for never.
    :param journal: counts and tells what went wrong.
    :param reactor: tells the time and calls later (``IReactorTime``); by
        default the global one.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        prefix: bytes = b"",
        verbose: bool = False,
        limits: Limits | None = None,
        stallTimeout: float = 0,
        idleTimeout: float = 0,
        journal: Journal | None = None,
        reactor: Any = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.prefix = prefix
        self.journal = journal or Journal(Counters("TCP"))
        self.counters = self.journal.counters
        self._verbose = verbose
        self._limits = limits or Limits()
        self._reactor = reactor
        self._open: dict[Echo, tuple[float, Any]] = {}
        self._paused: set[Echo] = set()
        self._stalls = Overseer(stallTimeout, self._waiting, self._stalled, reactor)
        self._idlers = Overseer(idleTimeout, self._listening, self._idle, reactor)
        self._leavers = Overseer(MOMENT, self._listening, self._drained, reactor)
        self._empty: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Echo | None:
        """
        Make the echo for one connection.

        :return: nothing for a peer that is over a limit.
        """
        reason = self._limits.objection(_hostOf(addr))
        if reason:
            self.journal.refused(reason)
            return None
        echo = PrefixEcho(self.prefix, self) if self.prefix else Echo(self)
        echo.factory = self
        return echo

    def opened(self, echo: Echo) -> None:
        """
        Hear from an echo that its connection began.
        """
        self._limits.opened(_hostOf(echo.transport.getPeer()))
        self.counters.connections += 1
        self.counters.active += 1
        local = echo.transport.getHost() if self._verbose else None
        self._open[echo] = (self._reactor.seconds(), local)
        self._idlers.wake()

    def paused(self, echo: Echo) -> None:
        """
        Hear from an echo that its peer takes no more for now.
        """
        self._paused.add(echo)
        self._stalls.wake()

    def resumed(self, echo: Echo) -> None:
        """
        Hear from an echo that its peer has taken all there was.
        """
        self._paused.discard(echo)
        self._idlers.wake()
        if self._empty is not None:
            self._leavers.wake()

    def closed(self, echo: Echo, reason: Failure) -> None:
        """
        Hear from an echo that its connection ended.
        """
        since, local = self._open.pop(echo)
        self._paused.discard(echo)
        peer = echo.transport.getPeer()
        self._limits.closed(_hostOf(peer))
        self.counters.active -= 1
        # The kernel's own patience has ended, see :func:`openStream`.
        if getattr(echo.transport, "lastError", 0) == errno.ETIMEDOUT and not echo.why:
            echo.why = "stalled"
            self.counters.stalled += 1
        if self._verbose:
            self._log.info(
                "{transport} {peer} {reason}: {bytes} bytes in {seconds:.3f} s",
                transport=self.counters.transport,
                peer=_text(peer),
                local=_text(local),
                bytes=echo.received,
                seconds=self._reactor.seconds() - since,
                reason=echo.why or _ENDS.get(reason.type, reason.getErrorMessage()),
            )
        if self._empty is not None and not self._open:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def drain(self, seconds: float) -> Deferred[None]:
        """
        Echo on until each connection has been quiet for a moment, then end it.

        :param seconds: after which all are ended, quiet or not.
        :return: fires when no connection is left.
        """
        if not self._open:
            return succeed(None)
        empty: Deferred[None] = Deferred()
        self._empty = empty
        self._leavers.wake()
        deadline = self._reactor.callLater(seconds, self._finishAll)

        def done(_: None) -> None:
            if deadline.active():
                deadline.cancel()

        return empty.addCallback(done)

    def _finishAll(self) -> None:
        for echo in list(self._open):
            if not echo.ending:
                self._drained(echo)
        self._reactor.callLater(MOMENT, self.abortAll)

    def abortAll(self) -> None:
        """
        Reset all connections at once.
        """
        for echo in list(self._open):
            echo.transport.abortConnection()

    def _waiting(self) -> dict[Echo, object]:
        return {echo: unsent(echo.transport) for echo in self._paused}

    def _listening(self) -> dict[Echo, object]:
        return {
            echo: echo.received
            for echo in self._open
            if not echo.ending and echo not in self._paused
        }

    def _stalled(self, echo: Echo) -> None:
        echo.why = "stalled"
        self.counters.stalled += 1
        echo.transport.abortConnection()

    def _idle(self, echo: Echo) -> None:
        echo.why = "idle"
        self.counters.idle += 1
        echo.finish()

    def _drained(self, echo: Echo) -> None:
        echo.why = "ended, as the service stops"
        self.counters.drained += 1
        echo.finish()


_ENDS: dict[object, str] = {
    ConnectionDone: "closed",
    ConnectionLost: "lost",
    ConnectionAborted: "reset",
}


def unsent(transport: Any) -> object:
    """
    Tell how many bytes wait for the peer, in the transport and in the kernel.

    :return: a number, or for a transport that has none something that is never
        the same.
    """
    if not isinstance(transport, FileDescriptor):
        return object()
    waiting = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    # Where the kernel holds much, it takes more only when a third of it is
    # gone: at 10 kB/s that may take minutes.
    return waiting + queued(transport)


def _hostOf(address: Any) -> str:
    return getattr(address, "host", "")


def _text(address: Any) -> str:
    if isinstance(address, IPv4Address | IPv6Address):
        return peerText((address.host, address.port))
    return str(address)
