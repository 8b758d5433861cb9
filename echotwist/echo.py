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
    Send each byte back, in order, and then the end of the stream (RFC 862).

    The transport is registered as its own producer: while the peer takes no bytes, the
    transport stops reading, so that nothing piles up here.
    """

    #: An ``ITransport``, ``IConsumer`` and ``IPushProducer`` in one, as every stream
    #: transport of Twisted is.
    transport: Any

    def connectionMade(self) -> None:
        """
        Register the transport as its own producer, which ties reading to writing.
        """
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """
        Send back the bytes that came in.
        """
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        """
        The peer has sent its last byte: send back the rest, then close.
        """
        self.finish()

    def writeConnectionLost(self) -> None:
        """
        Never called: both directions are closed together.
        """

    def finish(self) -> None:
        """
        Read no more, send back the rest, then close.
        """
        # A transport that still has a producer would wait for it, and never close.
        self.transport.unregisterProducer()
        self.transport.loseConnection()


class DatagramEcho(DatagramProtocol):
    """
    Send each datagram back to its sender (RFC 862).

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
        Send one datagram back.

        :param addr: the sender's address, in the transport's own form.
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
