"""
Look through the wrappers that an endpoint may put between an echo and its connection.

Twisted itself has TLS; plugins may add others.  Each is a ``ProtocolWrapper``: it wraps
a protocol, and is the transport of that protocol.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ITransport
from twisted.protocols.policies import ProtocolWrapper


def innermostProtocol(protocol: IProtocol | None) -> Any:
    """
    Find the protocol inside all wrappers: the echo, or nothing if there is none.
    """
    while isinstance(protocol, ProtocolWrapper):
        protocol = protocol.wrappedProtocol
    return protocol


def lowestTransport(transport: ITransport | None) -> Any:
    """
    Find the connection below all wrappers.
    """
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def halfCloseTarget(protocol: IProtocol) -> IHalfCloseableProtocol | None:
    """
    Find the protocol to tell that the peer has half-closed.

    Most wrappers hide that the echo has ``IHalfCloseableProtocol``.
    """
    while isinstance(protocol, ProtocolWrapper) and not IHalfCloseableProtocol(protocol, None):
        protocol = protocol.wrappedProtocol
    return IHalfCloseableProtocol(protocol, None)
