"""
Where targets are, and what keeps a probe from getting there, in words.
"""

from __future__ import annotations

import errno
import os
import socket
from functools import partial
from ipaddress import ip_address
from threading import current_thread, main_thread
from typing import Any

from attrs import frozen

from echotwist.probe.target import Target
from echotwist.sockets.addresses import nameText, peerText, scoped
from echotwist.sockets.errors import inWords
from echotwist.sockets.unixpeer import LONGEST_NAME

#: What helps, by the number of an error and what it is about: an option, a kind, or all.
_HINTS = {
    (errno.EPERM, "raw"): "raw IP needs root or CAP_NET_RAW",
    (errno.EACCES, "raw"): "raw IP needs root or CAP_NET_RAW",
    (errno.EACCES, "--source-port"): "ports below 1024 need root or CAP_NET_BIND_SERVICE",
    (errno.EADDRINUSE, "--source-port"): "another program has it",
    (errno.EACCES, "udp"): "a broadcast address is not asked",
    (errno.EPERM, "--interface"): "it needs root or CAP_NET_RAW",
    (errno.ENETUNREACH, "link"): "its network interface does not lead there",
    (errno.EADDRNOTAVAIL, ""): "this machine does not have that address",
    (errno.ENODEV, ""): "there is no such network interface",
}


#: Bytes of an IP packet at the most, without the header of IPv6, and of the headers in it.
_PACKET, _HEADER_OF_IPV4, _HEADER_OF_UDP = 65535, 20, 8


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
    def scope(self) -> int:
        """
        The number of the network interface of a link-local address; 0 for others.
        """
        isSix = isinstance(self.address, tuple) and len(self.address) > 3
        return int(self.address[3]) if isSix else 0

    def whyNot(self, number: int) -> str:
        """
        Say why a connection to it does not come about.

        :param number: of the system's error.
        """
        words = inWords(OSError(number, os.strerror(number)))
        hint = _HINTS.get((number, "link")) if self.scope else None
        return f"{words}; {hint}" if hint else words

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


def largestOf(target: Target, place: Place) -> int:
    """
    Tell how many bytes a datagram to a target has at the most.
    """
    if target.kind not in ("udp", "raw"):
        return _PACKET - _HEADER_OF_UDP
    isFour = place.family == socket.AF_INET or place.address[0].lower().startswith("::ffff:")
    most = _PACKET - (_HEADER_OF_IPV4 if isFour else 0)
    return most - (_HEADER_OF_UDP if target.kind == "udp" else 0)


def checkUnix(target: Target, way: Way) -> None:
    """
    See that nothing is asked of a UNIX socket that it does not have.

    :raise ProbeError: it is.
    """
    if target.path and way != Way(family=way.family):
        raise ProbeError(f"{target}: a UNIX socket has no addresses, interfaces and routers")


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
        if len(os.fsencode(target.path)) >= LONGEST_NAME + target.path.startswith("\0"):
            raise ProbeError(
                f"{target}: names of sockets have {LONGEST_NAME - 1} bytes at the most"
            )
        return [Place(socket.AF_UNIX, target.path)]
    port = 0 if target.kind == "raw" else target.number
    return [Place(*one) for one in lookUp(str(target), target.host, port, way.family)]


def lookUp(said: str, host: str, port: int, family: int) -> list[tuple[int, Any]]:
    """
    Look up the addresses of a host, each with its family, the one to use first.

    :param said: what a person said, which it is for.
    :raise ProbeError: there are none.
    """
    try:
        found = _addressesOf(host, port, family)
    except (socket.gaierror, UnicodeError) as error:
        reason = _scopeFault(host) or getattr(error, "strerror", None) or "not a host name"
        raise ProbeError(f"{said}: {host}: {reason}") from None
    places = list(dict.fromkeys((one[0], one[4]) for one in found))
    for _, address in places:
        if _isScopeless(address):
            raise ProbeError(f"{said}: {_LINK_LOCAL}, as in {address[0]}%eth0")
    return places


def _addressesOf(host: str, port: int, family: int) -> list[Any]:
    """
    Ask the resolver in a thread if it may take long: ^C must not wait for it.
    """
    ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_DGRAM)
    if host[-1:].isdigit() or ":" in host or current_thread() is not main_thread():
        return ask()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return list(thread.submit(ask).result())


_LINK_LOCAL = "a link-local address needs its network interface"


def _isScopeless(address: Any) -> bool:
    if len(address) < 4 or address[3]:
        return False
    host = ip_address(address[0])
    # Multicast of one link has a scope, too (RFC 4007, section 4).
    return host.is_link_local or (host.is_multicast and host.packed[1] & 15 == 2)


def _scopeFault(host: str) -> str:
    """
    Say what is wrong with what comes after the ``%`` of an address, if anything is.
    """
    address, percent, scope = host.partition("%")
    if not percent:
        return ""
    try:
        version, isLink = ip_address(address).version, ip_address(address).is_link_local
    except ValueError:
        return ""
    if version == 4 or not isLink:
        return f"only link-local IPv6 addresses have a network interface (%{scope})"
    return f"there is no network interface {scope}"


def fault(said: str, about: str, error: Exception) -> ProbeError:
    """
    Say what went wrong, and what helps.

    :param said: what a person said, which it is about.
    :param about: the kind of target, or the option.
    """
    cause = error if isinstance(error, OSError) else OSError(str(error))
    number = cause.errno or 0
    hint = _HINTS.get((number, about)) or _HINTS.get((number, ""))
    words = f"{said}: {inWords(cause)}"
    return ProbeError(f"{words}; {hint}" if hint else words)
