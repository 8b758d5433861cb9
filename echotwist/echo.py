"""
The echo itself, of streams and of datagrams: what comes in goes out (RFC 862).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import DatagramProtocol, Protocol
from twisted.logger import Logger
from zope.interface import implementer

from echotwist.sockets.addresses import whoText

#: Bytes of a datagram that a log line shows.
SHOWN_BYTES = 32


@implementer(IHalfCloseableProtocol)
class Echo(Protocol):
    """
    Give back each byte that comes in, in order, and then the end (RFC 862).

    The transport is its own producer: while its peer takes no more it stops
    reading, so that nothing piles up here.
    """

    #: An ``ITransport``, ``IConsumer`` and ``IPushProducer`` in one, as all of
    #: Twisted's stream transports are.
    transport: Any

    def connectionMade(self) -> None:
        """
        Tie reading to writing.
        """
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """
        Give back what came in.
        """
        self.transport.write(data)

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
        # A transport with a producer would wait for more, and never close.
        self.transport.unregisterProducer()
        self.transport.loseConnection()


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
    more = "..." if len(datagram) > SHOWN_BYTES else ""
    return repr(datagram[:SHOWN_BYTES])[1:] + more
