"""
Find the addresses that a user's words name, and format addresses for people.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from attrs import evolve, frozen

from echotwist.sockets.altname import indexOf

#: ``SO_BINDTODEVICE`` of socket(7); only Linux has it.
BIND_TO_DEVICE: int | None = getattr(socket, "SO_BINDTODEVICE", None)

#: What ``accept``, ``recvfrom`` and ``getsockname`` return for IPv4 and IPv6: host and
#: port, and for IPv6 also flow label and scope.
InternetName = tuple[str, int] | tuple[str, int, int, int]

#: The same for UNIX sockets: a path, or an abstract name as bytes that begin with NUL.
UnixName = str | bytes | None

#: The same for any socket that has a name.
SocketName = InternetName | str | bytes

_NAT64 = ip_network("64:ff9b::/96")


@frozen
class Address:
    """
    One address to listen on.

    :param family: ``AF_INET`` or ``AF_INET6``.
    :param host: a numeric address.
    :param scope: the index of the network interface that an IPv6 link-local
        address belongs to, otherwise 0 (RFC 4007).
    :param device: the network interface that the socket is bound to, if any.
    :param dual: an IPv6 wildcard address that takes IPv4 as well (RFC 3493, section 5.3).
    """

    family: socket.AddressFamily
    host: str
    scope: int = 0
    device: str = ""
    dual: bool = False

    def withPort(self, port: int) -> InternetName:
        """
        Return the form that ``bind`` takes in Python.
        """
        if self.family == socket.AF_INET6:
            return (self.host, port, 0, self.scope)
        return (self.host, port)

    def overlaps(self, other: Address) -> bool:
        """
        Tell whether one packet may come to both addresses.
        """
        anywhere = ("0.0.0.0", "::")
        hosts, devices = (self.host, other.host), (self.device, other.device)
        scopes = (self.scope, other.scope)
        return (
            (self.family == other.family or self.dual or other.dual)
            and (scopes[0] == scopes[1] or not all(scopes))
            and (hosts[0] == hosts[1] or any(host in anywhere for host in hosts))
            and (devices[0] == devices[1] or not all(devices))
        )

    def inWords(self, port: int | None = None) -> str:
        """
        Format the address for a person: ``127.0.0.1:7``, ``[::1]:7``, or
        without a port ``127.0.0.1``, ``[::1]``.
        """
        device = f" on {self.device}" if self.device else ""
        place = peerText(self.withPort(port or 0))
        return (place.removesuffix(":0") if port is None else place) + device


def peerText(address: InternetName) -> str:
    """
    Format a socket's address for a person.

    An IPv4-mapped address is written as IPv4, and a link-local one with the name of its
    network interface.

    :param address: the address that ``recvfrom`` or ``getsockname`` returned.
    """
    host, port = unmapped(str(scoped(address)[0])), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def placeOf(listener: socket.socket) -> tuple[str, int]:
    """
    Return the address and port that a socket is bound to; a UNIX socket has none.
    """
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return ("", 0)
    host, port = listener.getsockname()[:2]
    return (host, port)


def nameText(name: UnixName) -> str:
    """
    Format the name of a UNIX socket for a person: an abstract name begins with ``@``
    (unix(7)), and most clients have no name.
    """
    if not name:
        return "(unnamed)"
    text = os.fsdecode(name)
    return ascii(f"@{text[1:]}" if text.startswith("\0") else text)[1:-1]


def whoText(peer: object) -> str:
    """
    Format a peer for a person: an address with its port, if it has one, or the name of a
    UNIX socket.

    :param peer: what ``accept`` or ``recvfrom`` returned, a host alone, a name, or
        an ``IAddress``.
    """
    if isinstance(peer, tuple):
        return peerText(peer) if peer[1] else unmapped(str(scoped(peer)[0]))
    if hasattr(peer, "host") and hasattr(peer, "port"):
        return peerText((peer.host, peer.port))
    name = getattr(peer, "name", peer)
    return unmapped(nameText(name)) if isinstance(name, str | bytes | None) else str(peer)


def scoped(address: InternetName) -> InternetName:
    """
    Write the scope of a link-local IPv6 address into the address itself, as
    Twisted does: ``fe80::1%eth0`` (RFC 4007, section 11).

    :param address: the address that ``accept`` or ``recvfrom`` returned.
    """
    if len(address) < 4 or not address[3] or "%" in address[0]:
        return address
    return (f"{address[0]}%{interfaceName(address[3], str(address[3]))}", *address[1:])


def unmapped(host: str) -> str:
    """
    Return the IPv4 address of an IPv4-mapped one (RFC 4291, section 2.5.5.2); leave other
    addresses as they are.
    """
    return host[7:] if host.startswith("::ffff:") and "." in host else host


def peerNetwork(address: IPv4Address | IPv6Address) -> str:
    """
    Return the network that counts as one peer: an IPv4 address, or the /64 of an IPv6
    address, in which a host may use as many addresses as it likes (RFC 4291,
    section 2.5.4).

    All links share one link-local network (fe80::/10), so there it is the address with
    its network interface; behind NAT64 it is the IPv4 address (RFC 6052, section 2.1).
    """
    if address.version == 4 or address.is_link_local:
        return str(address)
    if address in _NAT64:
        return str(IPv4Address(int(address) & 0xFFFFFFFF))
    return str(ip_network((int(address) >> 64 << 64, 64)))


def interfaceName(index: int, default: str = "") -> str:
    """
    Return the name of a network interface.

    :param default: the name if there is no interface of that index.
    """
    try:
        return socket.if_indextoname(index)
    except OSError:
        return default


def addressesOf(word: str) -> list[Address]:
    """
    Find the addresses that a user's word names.

    :param word: an IPv4 or IPv6 address, with its scope if link-local; or the
        name of a network interface; or a host name.
    :raise OSError: the word is none of these, or no service can listen there.
    """
    if _isFigures(word):
        host, percent, scope = word.partition("%")
        with suppress(OSError):  # Perhaps the scope is a number.
            word = f"{host}%{indexOf(scope)}" if percent else word
        return _lookUp(unmapped(word), socket.AI_NUMERICHOST)
    if device := _networkInterface(word):
        if BIND_TO_DEVICE is None:
            raise OSError(errno.ENOTSUP, "this system has no SO_BINDTODEVICE")
        return [evolve(address, device=device) for address in wildcards()]
    try:
        found = _lookUp(word)
    except (socket.gaierror, ValueError) as error:
        number = getattr(error, "errno", socket.EAI_NONAME)
        reason = getattr(error, "strerror", None) or "not a host name"
        text = f"no address, no network interface, and as a host: {reason}"
        raise OSError(number, text) from None
    # A name may have addresses of a family that this machine does not have,
    # such as localhost in many containers.
    return [address for address in found if _isOurs(address)] or found


def wildcards() -> list[Address]:
    """
    Return every address of both families, as one wildcard if the system allows that; or
    of IPv4 alone where there is no IPv6.
    """
    if socket.has_dualstack_ipv6():
        return [Address(socket.AF_INET6, "::", dual=True)]
    four, six = Address(socket.AF_INET, "0.0.0.0"), Address(socket.AF_INET6, "::")
    return [four, six] if _isOurs(six) else [four]


def half(address: Address, family: socket.AddressFamily) -> Address:
    """
    Return the part of an address that belongs to one family.

    :param address: an address of that family, or a wildcard of both.
    """
    if not address.dual:
        return address
    host = "::" if family == socket.AF_INET6 else "0.0.0.0"
    return evolve(address, family=family, host=host, dual=False)


def _isFigures(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _networkInterface(name: str) -> str:
    """
    Return the main name of a network interface; an empty text if there is none.

    :param name: the main name, or an alternative one.
    """
    try:
        return interfaceName(indexOf(name))
    except (OSError, ValueError):
        return ""


def _lookUp(host: str, flags: int = 0) -> list[Address]:
    found = socket.getaddrinfo(host or ".", None, type=socket.SOCK_STREAM, flags=flags)
    addresses = [
        Address(family, str(place[0]).partition("%")[0], int(place[3]) if len(place) > 3 else 0)
        for family, _, _, _, place in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]
    for address in addresses:
        _checkThatPeersCanAsk(address)
    return list(dict.fromkeys(addresses))


def _checkThatPeersCanAsk(address: Address) -> None:
    host = ip_address(address.host)
    if host.is_multicast or address.host == "255.255.255.255":
        raise OSError(errno.EINVAL, "nobody connects to a multicast or broadcast address")
    if host.version == 6 and host.is_link_local and not address.scope:
        text = "a link-local address needs its network interface, as in fe80::1%eth0"
        raise OSError(errno.EINVAL, text)


def _isOurs(address: Address) -> bool:
    try:
        with closing(socket.socket(address.family, socket.SOCK_DGRAM)) as probe:
            probe.bind(address.withPort(0))
    except OSError:
        return False
    return True
