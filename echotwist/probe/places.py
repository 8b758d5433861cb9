"""
Look up targets, and put the errors of reaching them into words.
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

#: What helps, by the error number and by what it concerns: an option, a kind, or any.
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


#: Bytes of an IP packet at most (without the header of IPv6), and of headers within it.
_PACKET, _HEADER_OF_IPV4, _HEADER_OF_UDP = 65535, 20, 8


class ProbeError(Exception):
    """
    The reason why the probe cannot start; its text is one line for a person.
    """


@frozen(kw_only=True)
class Way:
    """
    How probes leave this host.

    :param family: ``AF_INET`` or ``AF_INET6``; ``AF_UNSPEC`` for any that the name has.
    :param source: the source address; ``None`` for the kernel's choice.
    :param sourcePort: the source port; 0 for any.
    :param interface: the network interface to send by, if any.
    :param dscp: the code point, from 0 to 63 (RFC 2474); ``None`` for the system's default.
    :param hopLimit: the hop limit or TTL; ``None`` for the system's default.
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
    The address of a target.

    :param family: its address family.
    :param address: the address as Python's ``connect`` takes it.
    """

    family: int
    address: Any

    def __str__(self) -> str:
        """
        Format the address for a person.
        """
        if not isinstance(self.address, tuple):
            return nameText(self.address)
        return peerText(self.address) if self.address[1] else str(scoped(self.address)[0])

    @property
    def scope(self) -> int:
        """
        The index of the network interface of a link-local address; 0 for other addresses.
        """
        isSix = isinstance(self.address, tuple) and len(self.address) > 3
        return int(self.address[3]) if isSix else 0

    def whyNot(self, number: int) -> str:
        """
        Put the error of a connect into words.

        :param number: the error number.
        """
        words = inWords(OSError(number, os.strerror(number)))
        hint = _HINTS.get((number, "link")) if self.scope else None
        return f"{words}; {hint}" if hint else words

    @property
    def isNear(self) -> bool:
        """
        Whether it is on this host, its link or a private network (RFC 1918, RFC 4193).
        """
        if not isinstance(self.address, tuple):
            return True
        host = ip_address(self.address[0].partition("%")[0])
        host = getattr(host, "ipv4_mapped", None) or host
        return host.is_loopback or host.is_private or host.is_link_local


def largestOf(target: Target, place: Place) -> int:
    """
    Return how many bytes a datagram to a target may have.
    """
    if target.kind not in ("udp", "raw"):
        return _PACKET - _HEADER_OF_UDP
    isFour = place.family == socket.AF_INET or place.address[0].lower().startswith("::ffff:")
    most = _PACKET - (_HEADER_OF_IPV4 if isFour else 0)
    return most - (_HEADER_OF_UDP if target.kind == "udp" else 0)


def checkUnix(target: Target, way: Way) -> None:
    """
    Check that a UNIX socket is not combined with options of IP.

    :raise ProbeError: it is.
    """
    if target.path and way != Way(family=way.family):
        raise ProbeError(f"{target}: a UNIX socket has no addresses, interfaces and routers")


def find(target: Target, way: Way) -> Place:
    """
    Look up the address of a target.

    :raise ProbeError: it has no address, or none of the family.
    """
    return findAll(target, way)[0]


def findAll(target: Target, way: Way) -> list[Place]:
    """
    Look up all addresses of a target; the first is the best.

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
    Look up the addresses of a host, each with its family; the first is the best.

    :param said: the words of the user, for the error.
    :raise ProbeError: the host has no address.
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
    Ask the resolver; in a thread if that may take long, so that ^C need not wait for it.
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
    # Multicast addresses of one link have a zone as well (RFC 4007, section 4).
    return host.is_link_local or (host.is_multicast and host.packed[1] & 15 == 2)


def _scopeFault(host: str) -> str:
    """
    Describe what is wrong with the zone of an address, after ``%``; empty if nothing is.
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
    Put an error into words, with what helps.

    :param said: the words of the user that the error concerns.
    :param about: the kind of target, or the option.
    """
    cause = error if isinstance(error, OSError) else OSError(str(error))
    number = cause.errno or 0
    hint = _HINTS.get((number, about)) or _HINTS.get((number, ""))
    words = f"{said}: {inWords(cause)}"
    return ProbeError(f"{words}; {hint}" if hint else words)
