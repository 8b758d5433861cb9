"""
What an endpoint may put between an echo and its connection.

Twisted itself has TLS; plugins may bring others.  All of them wrap the protocol
below them in a ``ProtocolWrapper``, which is the transport of the one above.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ITransport
from twisted.protocols.policies import ProtocolWrapper


def innermostProtocol(protocol: IProtocol | None) -> Any:
    """
    Find what is inside of all wrappers: the echo, or nothing if there is none.
    """
    while isinstance(protocol, ProtocolWrapper):
        protocol = protocol.wrappedProtocol
    return protocol


def lowestTransport(transport: ITransport | None) -> Any:
    """
    Find the connection that is below all wrappers.
    """
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def halfCloseTarget(protocol: IProtocol) -> IHalfCloseableProtocol | None:
    """
    Find the protocol that must hear that the peer has sent its last byte.

    Most wrappers hide that the echo wants to know.
    """
    while isinstance(protocol, ProtocolWrapper) and not IHalfCloseableProtocol(protocol, None):
        protocol = protocol.wrappedProtocol
    return IHalfCloseableProtocol(protocol, None)
