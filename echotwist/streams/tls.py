"""
TLS with half-close.

Needs the extra ``echotwist[tls]``.
"""

from __future__ import annotations

import warnings
from typing import Any

from OpenSSL.SSL import (
    NO_OVERLAPPING_PROTOCOLS,
    Connection,
    Error,
    WantReadError,
    ZeroReturnError,
)
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IOpenSSLContextFactory,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from echotwist.streams.counted import IEchoOwner
from echotwist.streams.interfaces import IHandshake
from echotwist.streams.wrappers import halfCloseTarget, innermostProtocol, lowestTransport

#: Bytes taken out of TLS at once; a record has at most 16 KiB.
TLS_PIECE = 2**15


@implementer(IHalfCloseableProtocol, IHandshake)
class EchoTLS(TLSMemoryBIOProtocol):
    """
    TLS that lets a peer half-close: a peer that has sent its last byte (``close_notify``,
    RFC 8446, section 6.1) still gets the rest.

    Twisted's own TLS drops the rest (twisted/twisted#5341).  And it waits for ever for a
    ``close_notify`` in reply to its own, which a peer need not send.

    :ivar sent: how many bytes have gone out, or wait to go out, as they are on the wire.
    """

    #: The handshake that the peer has to finish before it is served.
    handshake = "TLS handshake"

    #: The time limit for it is over.
    givenUp = False

    transport: Any
    #: ``None`` if OpenSSL could not make one: a plugin's certificates may be gone.
    _tlsConnection: Any = None
    _owner: IEchoOwner | None = None
    sent = 0
    _inputEnded = False
    _isPaused = False

    def makeConnection(self, transport: ITransport) -> None:
        """
        Start the handshake, with a time limit.
        """
        self._owner = getattr(innermostProtocol(self), "owner", None)
        if self._owner is not None:
            self._owner.handshakeStarted(self)
        super().makeConnection(transport)

    def _checkHandshakeStatus(self) -> None:
        super()._checkHandshakeStatus()
        if self._handshakeDone and self._owner is not None:
            self._owner.handshakeFinished(self)

    def _flushSendBIO(self) -> None:
        try:
            while True:
                data = self._tlsConnection.bio_read(TLS_PIECE)
                self.sent += len(data)
                self.transport.write(data)
                self._watch()
        except WantReadError:
            pass

    def _watch(self) -> None:
        """
        Let the owner watch whether the peer takes the written bytes: TLS may write bytes that
        the echo does not know of, such as answers to KeyUpdate (RFC 8446, section 4.6.3).
        """
        if self._owner is None or not self._handshakeDone:
            return
        echo = innermostProtocol(self)
        if not echo.watched:
            self._owner.wrote(echo)

    def pauseProducing(self) -> None:
        """
        Pass no more bytes to the echo, not even those that have come already.
        """
        self._isPaused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Go on, first with bytes that have come already.
        """
        self._isPaused = False
        self._flushReceiveBIO()
        if not (self._isPaused or self.disconnecting or self._lostTLSConnection):
            self.transport.resumeProducing()

    def _flushReceiveBIO(self) -> None:
        # A whole record may grow a lot with prefixes.
        piece = min(TLS_PIECE, getattr(lowestTransport(self), "bufferSize", TLS_PIECE))
        try:
            while not (self._lostTLSConnection or self._isPaused):
                data = self._tlsConnection.recv(piece)
                if not self._aborted:
                    self.wrappedProtocol.dataReceived(data)
        except WantReadError:
            pass
        except ZeroReturnError:
            self.readConnectionLost()
        except Error:
            self._tlsShutdownFinished(Failure())
        self._flushSendBIO()

    def readConnectionLost(self) -> None:
        """
        The peer has sent its last byte, or closed TCP without saying so.
        """
        if not self._handshakeDone:
            self.abortConnection()
        elif not self._inputEnded:
            self._inputEnded = True
            if (target := halfCloseTarget(self.wrappedProtocol)) is not None:
                target.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """
        Never called: both directions are closed together.
        """

    def abortConnection(self) -> None:
        """
        Reset the connection.

        Twisted's own TLS sends ``close_notify`` first, which tells the peer that it got all.
        """
        self._aborted = self.disconnecting = True
        self.transport.abortConnection()

    def _shutdownTLS(self) -> None:
        super()._shutdownTLS()
        self._leave()

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        failed = reason is not None and not (self._handshakeDone or self.givenUp)
        if failed and self._owner is not None:
            self._owner.limitedLog.refused(f"failed {self.handshake}", self.transport.getPeer())
        super()._tlsShutdownFinished(reason)
        self._leave()

    def _leave(self) -> None:
        # A transport that has paused its producer would wait for it, and never close.
        if self._producer is not None:
            self._producer = None
            self.transport.unregisterProducer()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is closed.
        """
        if self._owner is not None:
            self._owner.handshakeFinished(self)
        if self._tlsConnection is not None:
            super().connectionLost(reason)


def overTLS(
    contextFactory: IOpenSSLContextFactory | IOpenSSLServerConnectionCreator,
    factory: IProtocolFactory,
    reactor: IReactorTime,
) -> TLSMemoryBIOFactory:
    """
    Put TLS around the protocols of a factory.

    :param contextFactory: certificate, key and other options (``CertificateOptions``).
    :raise Exception: OpenSSL's error about these, now and not at the first connection.
    """
    if hasattr(contextFactory, "getContext"):
        with warnings.catch_warnings():
            # pyOpenSSL wants the certificate in another form than Twisted's.
            warnings.simplefilter("ignore", DeprecationWarning)
            contextFactory.getContext().set_alpn_select_callback(_chooseNone)
    around = TLSMemoryBIOFactory(contextFactory, False, factory, reactor)
    around.protocol = EchoTLS
    return around


def _chooseNone(connection: Connection, offered: list[bytes]) -> Any:
    """
    Ignore the protocols that a peer offers (ALPN, RFC 7301), like a server that does
    not know ALPN.

    Twisted's own TLS chooses a protocol without a name, which ends the handshake.
    """
    return NO_OVERLAPPING_PROTOCOLS


def mend(factory: object) -> bool:
    """
    Replace Twisted's TLS around a factory by this one.

    :return: whether there is TLS around it.
    """
    found = False
    while isinstance(factory, WrappingFactory):
        if isinstance(factory, TLSMemoryBIOFactory):
            factory.protocol = EchoTLS
            found = True
        factory = factory.wrappedFactory
    return found
