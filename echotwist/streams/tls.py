"""
TLS that can be closed one way.

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
    TLS whose peer may say that it has sent its last byte (``close_notify``,
    RFC 8446, section 6.1), and is still given all that is left.

    Twisted's own drops that (twisted/twisted#5341).  And it waits for a
    ``close_notify`` in reply to its own, for ever, which nobody has to send.

    :ivar sent: how many bytes have gone out, or wait to, as they are on the wire.
    """

    #: What the peer has to do before it is served.
    handshake = "TLS handshake"

    #: Nobody waits for that any more.
    givenUp = False

    transport: Any
    #: Nothing if it could not be made: a plugin's certificates may be gone.
    _tlsConnection: Any = None
    _owner: IEchoOwner | None = None
    sent = 0
    _inputEnded = False
    _isPaused = False

    def makeConnection(self, transport: ITransport) -> None:
        """
        Begin the handshake, which must not take for ever.
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
        Have it watched whether the peer takes what was written: there may be more
        than the echo knows of, such as answers to KeyUpdate (RFC 8446, 4.6.3).
        """
        if self._owner is None or not self._handshakeDone:
            return
        echo = innermostProtocol(self)
        if not echo.watched:
            self._owner.wrote(echo)

    def pauseProducing(self) -> None:
        """
        Give no more to the echo, of what has come already either.
        """
        self._isPaused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Go on, with what is left first.
        """
        self._isPaused = False
        self._flushReceiveBIO()
        if not (self._isPaused or self.disconnecting or self._lostTLSConnection):
            self.transport.resumeProducing()

    def _flushReceiveBIO(self) -> None:
        # What a prefix makes of a whole record may be much.
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

        Twisted's own sends ``close_notify`` first, as if all had come.
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
        # A transport whose producer it has paused would wait for more, and never close.
        if self._producer is not None:
            self._producer = None
            self.transport.unregisterProducer()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
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
    Put TLS around what a factory makes.

    :param contextFactory: certificate, key and all else (``CertificateOptions``).
    :raise Exception: whatever OpenSSL says of these, now and not to the first peer.
    """
    if hasattr(contextFactory, "getContext"):
        with warnings.catch_warnings():
            # pyOpenSSL would have the certificate in another form than Twisted has it.
            warnings.simplefilter("ignore", DeprecationWarning)
            contextFactory.getContext().set_alpn_select_callback(_chooseNone)
    around = TLSMemoryBIOFactory(contextFactory, False, factory, reactor)
    around.protocol = EchoTLS
    return around


def _chooseNone(connection: Connection, offered: list[bytes]) -> Any:
    """
    Take no notice of the protocols that a peer offers (ALPN, RFC 7301), like a
    server that knows nothing of it.

    Twisted's own chooses one without a name, which ends the handshake.
    """
    return NO_OVERLAPPING_PROTOCOLS


def mend(factory: object) -> bool:
    """
    Have the TLS that somebody has put around a factory be of this kind.

    :return: whether there is any.
    """
    found = False
    while isinstance(factory, WrappingFactory):
        if isinstance(factory, TLSMemoryBIOFactory):
            factory.protocol = EchoTLS
            found = True
        factory = factory.wrappedFactory
    return found
