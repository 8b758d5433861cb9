"""
The echo itself, of streams and of datagrams: what comes in goes out (RFC 862).
"""

from __future__ import annotations

from typing import Any
from typing import Protocol as Shape

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import DatagramProtocol, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from echotwist.sockets.addresses import whoText
from echotwist.telemetry.counters import Counters

#: Bytes of a datagram that a log line shows.
SHOWN = 32


class Owner(Shape):
    """
    Whoever looks after the echoes: :class:`echotwist.EchoFactory`.
    """

    counters: Counters

    def opened(self, echo: Echo) -> None:
        """
        Hear that a connection began.
        """

    def wrote(self, echo: Echo) -> None:
        """
        Hear that there may be bytes that a peer has yet to take.
        """

    def closed(self, echo: Echo, reason: Failure) -> None:
        """
        Hear that a connection ended.
        """


@implementer(IHalfCloseableProtocol)
class Echo(Protocol):
    """
    Give back each byte that comes in, in order, and then the end (RFC 862).

    The transport is its own producer: while its peer takes no more it stops
    reading, so that nothing piles up here.

    :param owner: counts, limits and watches the connection, if given.
    :ivar host: the peer's address, if the owner counts by it.
    :ivar received: how many bytes have come in.
    :ivar watched: the owner knows that there may be bytes to take.
    :ivar ending: no more will be read.
    :ivar why: what the connection is ended for, if by us.
    """

    #: Each byte goes out as it came in.
    isExact = True

    #: An ``ITransport``, ``IConsumer`` and ``IPushProducer`` in one, as all of
    #: Twisted's stream transports are.
    transport: Any

    def __init__(self, owner: Owner | None = None) -> None:
        self.owner: Any = owner
        self.counters = Counters() if owner is None else owner.counters
        self.host = ""
        self.received = 0
        self.watched = owner is None
        self.ending = False
        self.why = ""

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
        self.transport.write(data)
        self.passed(len(data))

    def passed(self, size: int) -> None:
        """
        Note that so many bytes came in and were written.
        """
        self.received += size
        self.counters.receivedBytes += size
        self.counters.sentBytes += size
        if not self.watched:
            self.owner.wrote(self)

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

    @property
    def sent(self) -> int:
        """
        How many bytes have gone out, or wait to.
        """
        return self.received

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone, for whatever reason.
        """
        if self.owner is not None:
            self.owner.closed(self, reason)


class DatagramEcho(DatagramProtocol):
    """
    Give back each datagram to where it came from (RFC 862).

    :param prefix: bytes put before each datagram; none for an exact echo.
    :param verbose: log each datagram.
    """

    noisy = False
    _log = Logger()

    def __init__(self, prefix: bytes = b"", verbose: bool = False) -> None:
        self.prefix = prefix
        self._verbose = verbose

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        Give back one datagram.

        :param addr: where it came from; what the transport takes as an address.
        """
        assert self.transport is not None
        self.transport.write(self.prefix + datagram, addr)
        if self._verbose:
            self._log.info(
                "{transport} {peer} {bytes} bytes: {start}",
                transport=getattr(self.transport, "kind", "UDP"),
                peer=whoText(addr),
                bytes=len(datagram),
                start=_escaped(datagram),
            )


def _escaped(datagram: bytes) -> str:
    more = "..." if len(datagram) > SHOWN else ""
    return repr(datagram[:SHOWN])[1:] + more
