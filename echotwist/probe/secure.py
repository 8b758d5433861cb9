"""
Streams over TLS, in a module of their own because they need pyOpenSSL.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from weakref import ref

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from echotwist.probe.places import Place, ProbeError
from echotwist.probe.streams import Stream
from echotwist.reactors import IReactor
from echotwist.sockets.errors import inWords, reasonOfTLS


class SecureStream(Stream):
    """
    A stream over TLS.

    :param creator: makes the client's side of a connection
        (``IOpenSSLClientConnectionCreator``).
    """

    def __init__(
        self, reactor: IReactor, open: Callable[[], socket.socket], place: Place, creator: Any
    ) -> None:
        super().__init__(reactor, open, place, wantsStamps=False)
        self._creator = creator
        self._protocol: Any = None

    def _connected(self) -> None:
        self._protocol = protocol = _Secure(self)
        inner = Factory.forProtocol(lambda: protocol)
        inner.noisy = False
        factory = TLSMemoryBIOFactory(self._creator, True, inner)
        factory.noisy = False
        # The reactor gets a copy of the descriptor.
        reactor: Any = self._reactor
        reactor.adoptStreamConnection(self._socket.fileno(), self._place.family, factory)
        if self._events is not None:
            self._events.close()
            self._events = None
        self._socket.close()

    def made(self, protocol: Protocol) -> None:
        """
        Note that the handshake has succeeded.
        """
        if protocol is self._protocol:
            self._begin()

    def came(self, data: bytes) -> None:
        """
        Take the next bytes of the stream.
        """
        self._received(data)
        self._session.wasRead()

    def gone(self, protocol: Protocol, reason: Failure) -> None:
        """
        Note that the connection is gone.
        """
        if protocol is not self._protocol:
            return
        self._protocol = None
        if not self._session.finished.called:
            isClean = reason.check(*_CLEAN)
            self._ended("the service closed the connection" if isClean else whyNot(reason.value))

    def giveUp(self, why: str) -> None:
        """
        Stop waiting for a connection, or for its handshake.
        """
        self._abort()
        super().giveUp(why)

    def stop(self) -> None:
        """
        Stop reading.
        """
        super().stop()
        self._abort()

    def _abort(self) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.transport.abortConnection()

    def hasRoom(self) -> bool:
        """
        Tell whether the connection takes more bytes.
        """
        return bool(self._protocol.isRoomy)

    def _write(self, number: int, data: bytes) -> None:
        self._protocol.transport.write(data)


_CLEAN = (type(connectionDone.value),)


@implementer(IHandshakeListener)
class _Secure(Protocol):
    """
    The protocol inside a TLS connection.

    :ivar isRoomy: the connection takes more bytes.
    """

    def __init__(self, stream: SecureStream) -> None:
        self._stream = stream
        self.isRoomy = True

    def connectionMade(self) -> None:
        """
        Ask to be told when the connection takes no more bytes.
        """
        transport: Any = self.transport
        transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """
        Note that the connection takes no more bytes for now.
        """
        self.isRoomy = False

    def resumeProducing(self) -> None:
        """
        Note that the connection takes bytes again.
        """
        self.isRoomy = True

    def stopProducing(self) -> None:
        """
        Note that the connection takes no more bytes.
        """
        self.isRoomy = False

    def handshakeCompleted(self) -> None:
        """
        Note that the handshake is over: bytes may be sent.
        """
        self._stream.made(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Pass on the bytes that came.
        """
        self._stream.came(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Pass on the end of the connection.
        """
        self._stream.gone(self, reason)


@implementer(IOpenSSLClientConnectionCreator)
class Verified:
    """
    Start connections that require a certificate for the host, signed by a trusted authority.

    Twisted's own (``optionsForClientTLS``) does not tell the connection of a certificate
    that has no names.

    :param host: a name or an address.
    :param trusted: the trusted authorities; ``None`` for the system's.
    """

    def __init__(self, host: str, trusted: Any = None) -> None:
        self._host = host
        self._creator = optionsForClientTLS(host, trusted)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """
        Begin one.
        """
        connection: SSL.Connection = self._creator.clientConnectionForTLS(tlsProtocol)
        protocol: Any = ref(tlsProtocol)  # OpenSSL keeps a reference to its callback.

        def isRight(_: Any, certificate: Any, error: int, depth: int, isTrusted: int) -> bool:
            why = "" if depth or not isTrusted else self._fault(certificate.to_cryptography())
            if why:
                protocol().failVerification(Failure(ProbeError(why)))
            return bool(isTrusted) and not why

        connection.set_verify(SSL.VERIFY_PEER, isRight)
        return connection

    def _fault(self, certificate: Any) -> str:
        isAddress = isIPAddress(self._host) or isIPv6Address(self._host)
        verify = verify_certificate_ip_address if isAddress else verify_certificate_hostname
        try:
            verify(certificate, self._host)
        except (CertificateError, VerificationError, ValueError):
            return f"the certificate is not for {self._host}; see --insecure"
        return ""


@implementer(IOpenSSLClientConnectionCreator)
class Insecure:
    """
    Start TLS connections without a check of the certificate.

    :param host: the address, or the name by which the service may choose its certificate
        (RFC 6066, section 3).
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._context = CertificateOptions().getContext()

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """
        Start the client's side of a connection.
        """
        connection = SSL.Connection(self._context, None)
        if self._host.rpartition(".")[2].isalpha():  # A server name is never an address.
            connection.set_tlsext_host_name(self._host.encode("idna"))
        connection.set_connect_state()
        return connection


def whyNot(error: BaseException | None) -> str:
    """
    Say why there is no connection of TLS, or no longer one.
    """
    why = reasonOfTLS(error) or str(error)
    return f"{why}; see --ca and --insecure" if why == "certificate verify failed" else why


def creatorFor(host: str, ca: str | None, isInsecure: bool) -> Any:
    """
    Return a creator of the client's side of TLS (``IOpenSSLClientConnectionCreator``).

    :param ca: a file with certificates to trust, instead of the system's.
    :param isInsecure: trust any certificate.
    :raise ProbeError: the file has no certificates, or no certificate can be for such a host.
    """
    if isInsecure:
        return Insecure(host)
    try:
        return Verified(host, None if ca is None else _authorities(ca))
    except UnicodeError:
        raise ProbeError(f"{host}: no certificate can have that name; see --insecure") from None


def _authorities(ca: str) -> Any:
    try:
        with open(ca, "rb") as file:
            trusted = [Certificate.loadPEM(one) for one in _certificates(file.read())]
    except OSError as error:
        raise ProbeError(f"--ca {ca}: {inWords(error)}") from None
    except SSL.Error:
        trusted = []
    if not trusted:
        raise ProbeError(f"--ca {ca}: no certificates (PEM)")
    return trustRootFromCertificates(trusted)


_END = b"-----END CERTIFICATE-----"


def _certificates(text: bytes) -> list[bytes]:
    return [part + _END for part in text.split(_END)[:-1]]
