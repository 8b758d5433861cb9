"""
Connections over TLS, in a module of their own because they need pyOpenSSL.
"""

from __future__ import annotations

import socket
from typing import Any

from OpenSSL import SSL
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from echotwist.probe.doctor.connection import AT_ONCE, Connection
from echotwist.probe.doctor.findings import Wrong
from echotwist.probe.places import Place
from echotwist.probe.secure import whyNot
from echotwist.reactors import IReactor
from echotwist.sockets.errors import reasonOfTLS


class SecureConnection(Connection):
    """
    A connection over TLS.

    :param creator: makes the client's side (``IOpenSSLClientConnectionCreator``).
    :ivar factory: offers no protocols by ALPN; the creator asks it.
    """

    def __init__(
        self, reactor: IReactor, one: socket.socket, patience: float, creator: Any
    ) -> None:
        super().__init__(reactor, one, patience)
        self.factory = TLSMemoryBIOFactory(creator, True, Factory())
        self._tls: SSL.Connection = creator.clientConnectionForTLS(self)
        self._tls.set_connect_state()
        self._refusal: Any = None
        self._outgoing = b""

    def failVerification(self, reason: Any) -> None:
        """
        Note that the certificate is for another name.
        """
        self._refusal = reason

    async def open(self, place: Place) -> None:
        """
        Connect, and shake hands.

        :raise Wrong: the handshake failed, or the certificate is not trusted.
        """
        await super().open(place)
        while True:
            try:
                self._tls.do_handshake()
            except SSL.WantReadError:
                await self._flush()
                await self._feed()
                continue
            except SSL.Error as error:
                raise Wrong(f"no TLS: {self._reason(error)}") from None
            break
        await self._flush()

    def _reason(self, error: SSL.Error) -> str:
        return whyNot(error if self._refusal is None else self._refusal.value)

    async def offer(self, data: bytes, seconds: float) -> int:
        """
        Send as much as the service takes, until it takes nothing for some seconds.
        """
        view, taken = memoryview(data), 0
        while taken < len(data):
            if not self._outgoing:
                taken += self._tls.send(view[taken : taken + 2**14])
                self._outgoing = self._pending()
            if not await self._pushed(seconds):
                break
        while self._outgoing and taken == len(data) and await self._pushed(seconds):
            pass
        return taken

    async def finish(self) -> None:
        """
        Send ``close_notify``, and keep reading (RFC 8446, section 6.1).
        """
        self._tls.shutdown()
        await self._flush()

    async def some(self, limit: int = AT_ONCE) -> bytes:
        """
        Return the next bytes; empty at the end of the stream.
        """
        while True:
            try:
                return self._tls.recv(limit)
            except SSL.WantReadError:
                await self._feed()
            except SSL.ZeroReturnError:
                return b""
            except SSL.Error as error:
                raise Wrong(f"TLS: {reasonOfTLS(error) or error}") from None

    async def _feed(self) -> None:
        data = await super().some()
        if not data:
            raise Wrong("the service closed the connection without close_notify")
        self._tls.bio_write(data)

    async def _flush(self) -> None:
        self._outgoing += self._pending()
        while self._outgoing:
            if not await self._pushed(self.patience):
                raise Wrong(f"it takes nothing for {self.patience:g} s")

    async def _pushed(self, seconds: float) -> bool:
        taken = await super().offer(self._outgoing, seconds)
        self._outgoing = self._outgoing[taken:]
        return bool(taken)

    def _pending(self) -> bytes:
        found = b""
        while True:
            try:
                found += self._tls.bio_read(2**16)
            except SSL.WantReadError:
                return found
