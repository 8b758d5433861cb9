"""
Connections of TLS; their own module, as it needs pyOpenSSL.
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
from echotwist.sockets.errors import reasonOfTLS


class SecureConnection(Connection):
    """
    A connection of TLS.

    :param creator: makes the client's side (``IOpenSSLClientConnectionCreator``).
    :ivar factory: what a creator asks for the protocols that are offered; none are.
    """

    def __init__(self, reactor: Any, one: socket.socket, patience: float, creator: Any) -> None:
        super().__init__(reactor, one, patience)
        self.factory = TLSMemoryBIOFactory(creator, True, Factory())
        self._tls: SSL.Connection = creator.clientConnectionForTLS(self)
        self._tls.set_connect_state()
        self._refusal: Any = None
        self._outgoing = b""

    def failVerification(self, reason: Any) -> None:
        """
        Hear that the certificate is another's.
        """
        self._refusal = reason

    async def open(self, place: Place) -> None:
        """
        Connect, and shake hands.

        :raise Wrong: the service does not, or its certificate is not to be trusted.
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
        Send as much as is taken, until nothing is for so long.
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
        Send ``close_notify``, and go on reading (RFC 8446, section 6.1).
        """
        self._tls.shutdown()
        await self._flush()

    async def some(self, limit: int = AT_ONCE) -> bytes:
        """
        Give what comes next; nothing is the end.
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
