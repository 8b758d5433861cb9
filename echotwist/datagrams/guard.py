"""
The guard that decides which datagrams an echo answers.

A sender can forge the source address of a datagram.  An attacker can make an echo
that answers every datagram flood a third party, or loop with another echo for ever
(CERT CA-1996-01, CVE-2024-2169).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import ip_address, ip_network
from math import inf
from time import monotonic
from typing import Any

from zope.interface import Interface, implementer

from echotwist.datagrams.loops import ENTRIES, LOCAL_LOOP_DATAGRAMS, Loops, Recent
from echotwist.sockets.access import Access
from echotwist.sockets.addresses import InternetName, UnixName, peerNetwork, unmapped

#: Ports below this belong to services, not to clients (RFC 6335, section 6).
FIRST_CLIENT_PORT = 1024

_NOWHERE = [ip_network("0.0.0.0/8"), ip_network("240.0.0.0/4")]


class IDatagramGuard(Interface):
    """
    A guard that decides which datagrams are answered.
    """

    def refusal(source: Any, toGroup: bool, datagram: bytes) -> str:
        """
        Return why a datagram must not be answered; an empty text if it may be.

        :param source: the sender's address, as ``recvfrom`` gives it.
        :param toGroup: the datagram was sent to a multicast or broadcast address.
        """

    def trusts(source: Any) -> bool:
        """
        Tell whether every datagram of a source is answered, except those to a group.
        """


@implementer(IDatagramGuard)
class Guard:
    """
    Decide for each UDP datagram whether it is answered.

    :param ports: the ports that this service listens on.
    :param rate: replies a second for each source (an IPv4 address, or a /64 of
        IPv6), which may leave all at once; 0 for no limit.
    :param answerLowPorts: answer sources below port 1024.
    :param prefix: the bytes that each reply begins with.
    :param clock: tells the time in seconds.
    :param loopRate: repeats a second (the same bytes from one address and port) that
        are not taken for a loop; 0 for no guard against loops.
    :param access: says which addresses are served; ``None`` for all.
    """

    def __init__(
        self,
        ports: Collection[int] = (),
        rate: int = 10_000,
        answerLowPorts: bool = False,
        prefix: bytes = b"",
        clock: Callable[[], float] = monotonic,
        loopRate: int = 100,
        access: Access | None = None,
    ) -> None:
        self.ports = frozenset(ports)
        self._firstPort = 1 if answerLowPorts else FIRST_CLIENT_PORT
        self._cost = 1 / rate if rate else 0.0
        self._clock = clock
        # For each source, the time until which its replies use up its rate; a source
        # that is silent for a second has its whole rate again.
        self._busyUntil: Recent[float] = Recent(ENTRIES, 1.0)
        self._loops = Loops(loopRate, prefix)
        self._kindOf = _kindOf if access is None else _kindUnder(access)

    def refusal(self, source: InternetName, toGroup: bool, datagram: bytes) -> str:
        """
        Return why a datagram must not be answered; an empty text if it may be.

        :param source: address and port, as ``recvfrom`` gives them.
        :param toGroup: the datagram was sent to a multicast or broadcast address.
        """
        port = source[1]
        if port < self._firstPort:
            return "low source port" if port else "source port 0"
        if port in self.ports:
            return "own port as source"
        return self._refusalTo(source, toGroup, datagram)

    def _refusalTo(self, source: InternetName, toGroup: bool, datagram: bytes) -> str:
        if toGroup:
            return "multicast or broadcast"
        kind, peer = self._kindOf(source[0], *source[3:])
        if kind == _LOOPBACK:
            return self._loopbackRefusal(source, datagram)
        if kind:
            return kind
        now = self._clock()
        if self._tooFast(peer, now):
            return "rate"
        return "loop" if self._loops.end(source, datagram, now) else ""

    def _loopbackRefusal(self, source: InternetName, datagram: bytes) -> str:
        # The kernel accepts no packet from the wire with a loopback address.
        return ""

    def trusts(self, source: InternetName) -> bool:
        """
        Tell whether every datagram of a source is answered, except those to a group.

        :param source: address and port, as ``recvfrom`` gives them.
        """
        host, port = source[:2]
        known = port >= self._firstPort and port not in self.ports
        return known and self._kindOf(host, *source[3:])[0] == _LOOPBACK

    def _tooFast(self, peer: str, now: float) -> bool:
        """
        Count one reply to a peer, and tell whether it is over the rate.
        """
        if not self._cost:
            return False
        busyUntil = max(self._busyUntil.get(peer) or now, now)
        tooFast = busyUntil + self._cost > now + 1 + 1e-6  # for rounding
        # A source over its rate is remembered as well.
        self._busyUntil.put(peer, busyUntil if tooFast else busyUntil + self._cost, now)
        return tooFast


class RawGuard(Guard):
    """
    Decide for each raw IP packet, as for a UDP datagram but without ports.
    """

    def __init__(
        self,
        rate: int = 10_000,
        prefix: bytes = b"",
        clock: Callable[[], float] = monotonic,
        loopRate: int = 100,
        access: Access | None = None,
    ) -> None:
        super().__init__(rate=rate, prefix=prefix, clock=clock, loopRate=loopRate, access=access)
        self._local = LocalGuard(prefix, clock, loopRate)

    def refusal(self, source: InternetName, toGroup: bool, datagram: bytes) -> str:
        """
        Return why a packet must not be answered; an empty text if it may be.
        """
        return self._refusalTo(source, toGroup, datagram)

    def _loopbackRefusal(self, source: InternetName, datagram: bytes) -> str:
        # Other echo services on this machine may get the packet too, and answer it.
        return self._local.refusal(source[0], False, datagram)


@implementer(IDatagramGuard)
class LocalGuard:
    """
    Decide for each datagram from this machine: refuse one only to end a loop.

    :param prefix: the bytes that each reply begins with.
    :param clock: tells the time in seconds.
    :param loopRate: as for :class:`Guard`.
    """

    def __init__(
        self,
        prefix: bytes = b"",
        clock: Callable[[], float] = monotonic,
        loopRate: int = 100,
    ) -> None:
        self._loops = Loops(loopRate, prefix, LOCAL_LOOP_DATAGRAMS, inf)
        self._clock = clock

    def refusal(self, source: Any, toGroup: bool, datagram: bytes) -> str:
        """
        Return why a datagram must not be answered; an empty text if it may be.

        :param source: the address or name of the sender.
        """
        return "loop" if self._loops.end(source, datagram, self._clock()) else ""

    def trusts(self, source: object) -> bool:
        """
        Tell whether every datagram of a source is answered.
        """
        return False


class UnixGuard(LocalGuard):
    """
    Decide for each UNIX datagram by the sender's name, and by the file that this
    name leads to when the reply leaves.

    The name alone proves little: its owner may have replaced the file meanwhile, it may
    mean another file in our folder or mount namespace, or belong to another echo.

    :param own: the names that this service listens at, and the device and inode of
        each name that is a file.
    :param prefix: the bytes that each reply begins with.
    :param clock: tells the time in seconds.
    :param loopRate: as for :class:`Guard`.
    """

    def __init__(
        self,
        own: Collection[bytes | tuple[int, int]] = (),
        prefix: bytes = b"",
        clock: Callable[[], float] = monotonic,
        loopRate: int = 100,
    ) -> None:
        super().__init__(prefix, clock, loopRate)
        self._own = frozenset(own)

    def refusal(self, source: UnixName, toGroup: bool, datagram: bytes) -> str:
        """
        Return why a datagram must not be answered; an empty text if it may be.

        :param source: the name of the sender, if any.
        """
        name = os.fsencode(source or b"")
        if not name:
            return "unbound sender"
        if name in self._own:
            return "own socket as source"
        if not name.startswith((b"/", b"\0")):
            return "relative name"
        return super().refusal(source, toGroup, datagram)

    def refusalTo(self, found: os.stat_result, sender: int | None) -> str:
        """
        Return why the socket that a name leads to must not get the reply; empty if it may.

        :param found: the socket's file.
        :param sender: the user who sent the datagram, if that is known.
        """
        if not stat.S_ISSOCK(found.st_mode):
            return "name of no socket"
        if (found.st_dev, found.st_ino) in self._own:
            return "own socket as source"
        return refusalToOwner(found.st_uid, sender)


def refusalToOwner(owner: int, sender: int | None) -> str:
    """
    Return why a user's socket must not get the reply to a datagram; empty if it may.

    :param sender: the user who sent the datagram, if that is known.
    """
    if sender is None:
        return "unknown sender"
    return "" if owner == sender else "socket of another user"


_LOOPBACK = "loopback"


@lru_cache(maxsize=4096)
def _kindOf(host: str, scope: int = 0) -> tuple[str, str]:
    """
    Classify a source address, and name the peer that its replies are counted for.

    :param scope: the index of the network interface of a link-local address.
    :return: a reason to refuse it, or :data:`_LOOPBACK`, or an empty text; and the
        address, or the network that one host may choose its addresses from.
    """
    address = ip_address(f"{host}%{scope}" if scope else unmapped(host))
    if address.is_unspecified or any(address in network for network in _NOWHERE):
        return "source is no host", host
    if address.is_multicast:
        return "source is a group", host
    return _LOOPBACK if address.is_loopback else "", peerNetwork(address)


def _kindUnder(access: Access) -> Callable[..., tuple[str, str]]:
    """
    Make a :func:`_kindOf` for a service that does not serve all addresses.
    """

    @lru_cache(maxsize=4096)
    def kindOf(host: str, scope: int = 0) -> tuple[str, str]:
        kind, peer = _kindOf(host, scope)
        refusal = access.refusal(host) if kind in ("", _LOOPBACK) else ""
        return refusal or kind, peer

    return kindOf
