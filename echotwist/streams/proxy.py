"""
The header by which a proxy names its client (PROXY protocol, versions 1 and 2, of
HAProxy's ``proxy-protocol.txt``).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6
from ipaddress import ip_address

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.python.failure import Failure
from zope.interface import implementer

from echotwist.streams.connection import Connection
from echotwist.streams.interfaces import IConnectionOwner, IHandshake
from echotwist.streams.prefixed import chunk
from echotwist.streams.wrappers import innermostProtocol

#: Bytes of the longest header of version 1, with its end.
V1_BYTES = 107

#: Bytes of a header of version 2 before its variable part, whose size they tell.
V2_FIXED_BYTES = 16

_START = V1Parser.PROXYSTR + b" "

_TEXT = re.compile(
    rb"PROXY TCP([46]) ([\da-fA-F.:]+) ([\da-fA-F.:]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})"
)


def split(data: bytes) -> tuple[bytes, bytes] | None:
    """
    Split a header from the bytes after it.

    :return: ``None`` while the header is not whole.
    :raise ValueError: the bytes are not a header.
    """
    if data.startswith(V2Parser.PREFIX):
        end = V2_FIXED_BYTES + int.from_bytes(data[14:V2_FIXED_BYTES], "big")
        return (data[:end], data[end:]) if len(data) >= max(end, V2_FIXED_BYTES) else None
    if data.startswith(_START):
        header, newline, rest = data[:V1_BYTES].partition(V1Parser.NEWLINE)
        if newline:
            return header, rest + data[V1_BYTES:]
    elif not (V2Parser.PREFIX.startswith(data) or _START.startswith(data)):
        raise ValueError
    if len(data) >= V1_BYTES:
        raise ValueError
    return None


def peerOf(header: bytes) -> IPv4Address | IPv6Address | None:
    """
    Return the client that a header names.

    :return: ``None`` if the proxy speaks for itself, or for a client without an IP
        address.
    :raise Exception: the header makes no sense.
    """
    # Such a header may end here or go on.
    if header.split(b" ")[:2] == [V1Parser.PROXYSTR, V1Parser.UNKNOWN_PROTO]:
        return None
    if header.startswith(V2Parser.PREFIX):
        peer = V2Parser.parse(header).source
        if not isinstance(peer, IPv4Address | IPv6Address):
            return None
        host, port = ip_address(peer.host), peer.port
    else:
        host, port = _source(header)
    if host.version == 6 and host.ipv4_mapped:
        host = host.ipv4_mapped
    kind = IPv4Address if host.version == 4 else IPv6Address
    return kind("TCP", str(host), port)


def _source(header: bytes) -> tuple[IPv4 | IPv6, int]:
    """
    Parse a header of version 1 (section 2.1) strictly: Twisted's parser accepts many
    texts as numbers, and any text as an address.

    :return: address and port that the client connected from.
    :raise ValueError: the header is wrong.
    """
    found = _TEXT.fullmatch(header)
    if found is None:
        raise ValueError
    version, source, target, *ports = (word.decode("ascii") for word in found.groups())
    hosts, numbers = [ip_address(source), ip_address(target)], [int(port) for port in ports]
    if any(str(host.version) != version for host in hosts) or max(numbers) >= 2**16:
        raise ValueError
    return hosts[0], numbers[0]


@implementer(IHandshake)
class ProxyHeader(Protocol):
    """
    Read the header, then hand the connection over to the echo.

    :param factory: makes the protocol for the peer that the header names.
    :param owner: the owner that counts, limits and watches (:class:`EchoFactory`).
    """

    handshake = "PROXY header"
    givenUp = False
    transport: Connection

    def __init__(self, factory: IProtocolFactory, owner: IConnectionOwner) -> None:
        self._next = factory
        self._owner = owner
        self._data = b""
        self._isCounted = False

    def connectionMade(self) -> None:
        """
        Wait for the header, for a limited time.
        """
        # Bytes that come with the header are echoed at once, with their prefixes.
        self.transport.bufferSize = chunk(self._owner.prefix)
        self._isCounted = True
        self._owner.limits.opened(None)
        self._owner.handshakeStarted(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Collect the header.
        """
        self._data += data
        try:
            found = split(self._data)
            if found is None:
                return
            peer = peerOf(found[0])
        except Exception:
            self._owner.limitedLog.refused("no PROXY header", self.transport.getPeer())
            self.transport.abortConnection()
            return
        self._introduce(peer, found[1])

    def _introduce(self, peer: IAddress | None, rest: bytes) -> None:
        self._uncount()
        if peer is not None:
            self.transport.peer = peer
        try:
            nextProtocol = self._next.buildProtocol(self.transport.getPeer())
            if nextProtocol is None or innermostProtocol(nextProtocol) is None:
                self.transport.abortConnection()
                return
            self.transport.setProtocol(nextProtocol)
            nextProtocol.makeConnection(self.transport)
        except Exception:
            # A plugin's wrapper around the echo may raise anything.
            self._owner.limitedLog.broke("accept")
            self.transport.abortConnection()
            return
        finally:
            self._owner.handshakeFinished(self)
        if rest:
            nextProtocol.dataReceived(rest)

    def _uncount(self) -> None:
        if self._isCounted:
            self._isCounted = False
            self._owner.limits.closed(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection was closed before the header was whole.
        """
        self._uncount()
        self._owner.handshakeFinished(self)


class ProxyFactory(Factory):
    """
    Make protocols that first read the header of each connection.

    :param factory: makes the protocols of connections whose header was read.
    :param owner: the owner that counts, limits and watches (:class:`EchoFactory`).
    """

    noisy = False

    def __init__(self, factory: IProtocolFactory, owner: IConnectionOwner) -> None:
        self._next = factory
        self._owner = owner

    def buildProtocol(self, addr: object) -> ProxyHeader | None:
        """
        Make the protocol that reads the header.

        :return: ``None`` if there are too many connections already.
        """
        return ProxyHeader(self._next, self._owner) if self._owner.admits(None, addr) else None
