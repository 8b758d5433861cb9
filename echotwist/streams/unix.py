"""
The port that accepts UNIX connections.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from twisted.internet.address import UNIXAddress

from echotwist.sockets.addresses import nameText
from echotwist.streams.port import StreamPort


class UnixPort(StreamPort):
    """
    A port for UNIX sockets.
    """

    _type = "UNIX"

    def __init__(self, listener: socket.socket, *arguments: Any) -> None:
        super().__init__(listener, *arguments)
        self.addressFamily = listener.family

    def _numberOf(self, listener: socket.socket) -> Any:
        return nameText(listener.getsockname())

    def clientOf(self, name: Any) -> tuple[Any, ...]:
        """
        Turn the name that ``accept`` returned into the address that a connection keeps.
        """
        return (name, None)

    def _serve(self, stream: socket.socket, peer: Any) -> None:
        # Unlike TCP connections, these inherit nothing (Linux 6.18).
        with suppress(OSError):
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        super()._serve(stream, peer)

    def addressOf(self, name: Any) -> UNIXAddress:
        """
        Make an ``IAddress`` from the name that ``accept`` or ``getsockname`` returned.
        """
        return UNIXAddress((name[0] if isinstance(name, tuple) else name) or None)
