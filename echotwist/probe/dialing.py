"""
Sockets that talk to an echo service, and what went wrong, in words.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any

from attrs import frozen

from echotwist.probe.target import Target
from echotwist.sockets.addresses import BIND_TO_DEVICE, nameText, peerText, scoped
from echotwist.sockets.errors import inWords

#: Bytes that the kernel may keep until they are read; more than some systems give.
_RECEIVED = 2**22
#: ``SO_RCVBUFFORCE`` of Linux' ``socket.h``: as much as root likes.
_RECEIVED_FORCED = 33

_KINDS = {
    "udp": socket.SOCK_DGRAM,
    "raw": socket.SOCK_RAW,
    "unix-datagram": socket.SOCK_DGRAM,
}

_HINTS = {
    (errno.EPERM, "raw"): "raw IP needs root or CAP_NET_RAW",
    (errno.EACCES, "raw"): "raw IP needs root or CAP_NET_RAW",
    (errno.EADDRNOTAVAIL, ""): "this machine does not have that address",
    (errno.ENODEV, ""): "there is no such network interface",
}


class ProbeError(Exception):
    """
    What keeps a probe from beginning; its text is one line for a person.
    """


@frozen(kw_only=True)
class Way:
    """
    How probes leave this host.

    :param family: ``AF_INET`` or ``AF_INET6``, or ``AF_UNSPEC`` for whichever the
        name has.
    :param source: the address that they come from, if not what the kernel prefers.
    :param sourcePort: the port that they come from; 0 for any.
    :param interface: the network interface that they leave by, if any.
    :param dscp: from 0 to 63 (RFC 2474), if not what the system sets.
    :param hopLimit: how many routers they may pass, if not what the system sets.
    """

    family: int = socket.AF_UNSPEC
    source: str = ""
    sourcePort: int = 0
    interface: str = ""
    dscp: int | None = None
    hopLimit: int | None = None


@frozen
class Place:
    """
    Where a target is.

    :param family: of its address.
    :param address: as connect(2) takes it in Python.
    """

    family: int
    address: Any

    def __str__(self) -> str:
        """
        Write it as a person reads it.
        """
        if not isinstance(self.address, tuple):
            return nameText(self.address)
        return peerText(self.address) if self.address[1] else str(scoped(self.address)[0])

    @property
    def isNear(self) -> bool:
        """
        Whether it is this host, its link or a private network (RFC 1918, RFC 4193).
        """
        if not isinstance(self.address, tuple):
            return True
        host = ip_address(self.address[0].partition("%")[0])
        host = getattr(host, "ipv4_mapped", None) or host
        return host.is_loopback or host.is_private or host.is_link_local


def find(target: Target, way: Way) -> Place:
    """
    Look up where a target is.

    :raise ProbeError: it has no address, or none of the family.
    """
    return findAll(target, way)[0]


def findAll(target: Target, way: Way) -> list[Place]:
    """
    Look up all places where a target is, the one to use first.

    :raise ProbeError: it has no address, or none of the family.
    """
    if target.path:
        if not hasattr(socket, "AF_UNIX"):
            raise ProbeError(f"{target}: this system has no UNIX sockets")
        return [Place(socket.AF_UNIX, target.path)]
    port = 0 if target.kind == "raw" else target.number
    return [Place(*one) for one in _lookUp(str(target), target.host, port, way.family)]


def _lookUp(said: str, host: str, port: int, family: int) -> list[tuple[int, Any]]:
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host name"
        raise ProbeError(f"{said}: {host}: {reason}") from None
    return list(dict.fromkeys((one[0], one[4]) for one in found))


def opened(target: Target, place: Place, way: Way, isConnected: bool = True) -> socket.socket:
    """
    Open a socket to talk to a target.  One for datagrams is connected, one for
    streams is not yet; neither blocks.

    :param isConnected: have one for datagrams take those of the target alone.
    :raise ProbeError: nothing is left open then.
    """
    one = None
    try:
        with _explained(target):
            protocol = target.number if target.kind == "raw" else 0
            kind = _KINDS.get(target.kind, socket.SOCK_STREAM)
            one = socket.socket(place.family, kind, protocol)
            _prepare(one, target, place, way)
            if target.isDatagram and isConnected:
                one.connect(place.address)
            one.setblocking(False)
        if target.kind == "raw":
            _checkThatOwnAreNotSeen(one, target, place)
    except BaseException:
        if one is not None:
            one.close()
        raise
    return one


def _prepare(one: socket.socket, target: Target, place: Place, way: Way) -> None:
    if place.family not in (socket.AF_INET, socket.AF_INET6):
        if target.kind == "unix-datagram":
            one.bind("")  # Any abstract name that is free, or nobody could answer.
        return
    if way.interface:
        if BIND_TO_DEVICE is None:
            raise OSError(errno.ENOTSUP, "this system has no SO_BINDTODEVICE")
        one.setsockopt(socket.SOL_SOCKET, BIND_TO_DEVICE, os.fsencode(way.interface))
    _mark(one, place.family == socket.AF_INET6, way)
    if target.isDatagram:
        _makeRoom(one)
    else:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if way.source or way.sourcePort:
        if way.sourcePort and not target.isDatagram:
            # Or no second connection could follow the first.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        anywhere = "::" if place.family == socket.AF_INET6 else "0.0.0.0"
        host = way.source or anywhere
        one.bind(_lookUp(f"--source {way.source}", host, way.sourcePort, place.family)[0][1])


def _mark(one: socket.socket, isSix: bool, way: Way) -> None:
    level = socket.IPPROTO_IPV6 if isSix else socket.IPPROTO_IP
    if way.dscp is not None:
        # The lower two bits are for congestion (RFC 3168).
        one.setsockopt(level, socket.IPV6_TCLASS if isSix else socket.IP_TOS, way.dscp << 2)
    if way.hopLimit is not None:
        option = socket.IPV6_UNICAST_HOPS if isSix else socket.IP_TTL
        one.setsockopt(level, option, way.hopLimit)


def _makeRoom(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
        one.setsockopt(socket.SOL_SOCKET, _RECEIVED_FORCED, _RECEIVED)


def _checkThatOwnAreNotSeen(one: socket.socket, target: Target, place: Place) -> None:
    """
    See that a raw socket does not get what it sends itself.
    """
    own = one.getsockname()[0]
    if own == place.address[0]:
        hint = "; say --source 127.0.0.9, or another of this host's addresses"
        raise ProbeError(
            f"{target}: raw packets from {own} to itself would be taken for replies"
            + (hint if "." in own else "")
        )


@contextmanager
def _explained(target: Target) -> Iterator[None]:
    try:
        yield
    except (OSError, OverflowError, ValueError) as error:
        cause = error if isinstance(error, OSError) else OSError(str(error))
        number = cause.errno or 0
        hint = _HINTS.get((number, target.kind)) or _HINTS.get((number, ""))
        words = f"{target}: {inWords(cause)}"
        raise ProbeError(f"{words}; {hint}" if hint else words) from None
