"""
Open the sockets that the settings ask for, except those of endpoints
(:mod:`~echotwist.listening.endpoints`).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations

from attrs import evolve, frozen
from twisted.internet.interfaces import IListeningPort

from echotwist.sockets.addresses import Address
from echotwist.sockets.errors import ListenError
from echotwist.sockets.opening import Socket, findAll, listenerText, openAll, transportOf


@frozen(kw_only=True)
class Binding:
    """
    Where and how sockets are bound by default.

    :param interfaces: words that :func:`findAll` knows; none means everywhere.
    :param reuse: share address and port with other processes (``SO_REUSEPORT``).
    :param backlog: connections that may wait to be accepted.
    :param linger: seconds that a close waits for the peer (``SO_LINGER``); 0 resets the
        connection; ``None`` leaves the rest to the kernel.
    """

    interfaces: Sequence[str]
    reuse: bool
    backlog: int
    linger: int | None


@frozen(kw_only=True)
class Sockets:
    """
    The sockets that the settings ask for.

    :param binding: where and how they are bound.
    :param port: the number for all of ``transports``; 0 takes a free one.
    :param transports: the transports on the port: ``TCP``, ``UDP`` or both.
    :param endpoints: Twisted endpoints for streams.
    :param unixDatagrams: names of UNIX datagram sockets.
    :param systemd: serve the sockets that systemd passes, except those that endpoints take.
    :param raw: the number of an IP protocol, if any.
    """

    binding: Binding
    port: int | None
    transports: Sequence[str]
    endpoints: Sequence[str]
    unixDatagrams: Sequence[str]
    systemd: bool
    raw: int | None


@frozen(eq=False)
class Listener:
    """
    One bound socket to serve on.

    :param socket: the socket; ``None`` if an endpoint does not show it.
    :param transport: the name of the transport: ``TCP``, ``TLS``...
    :param port: the port that serves it, if it belongs to an endpoint.
    """

    socket: Socket | None
    transport: str
    port: IListeningPort | None = None

    @classmethod
    def of(cls, opened: Socket) -> Listener:
        """
        Make a listener for a socket, which itself tells its transport.
        """
        return cls(opened, transportOf(opened))

    @property
    def text(self) -> str:
        """
        Where it listens, as a person reads it.
        """
        if self.socket is None:
            return f"{self.transport} endpoint"
        return listenerText(self.socket, self.transport)

    def close(self) -> None:
        """
        Close the socket, or let the endpoint close it.
        """
        if self.socket is not None:
            self.socket.close()
        elif self.port is not None:
            self.port.stopListening()


@contextmanager
def allOrNone() -> Iterator[list[Listener]]:
    """
    Collect opened listeners in a list; close them all on an error.
    """
    opened: list[Listener] = []
    try:
        yield opened
    except BaseException:
        closeAll(opened)
        raise


def openPlain(sockets: Sockets) -> list[Listener]:
    """
    Open all sockets except those of endpoints.

    :raise ListenError: for the first that cannot be opened; nothing is left open.
    """
    with allOrNone() as opened:
        opened += openOwn(sockets)
        opened += openShared(sockets)
    return opened


def openOwn(sockets: Sockets) -> list[Listener]:
    """
    Open the sockets of the port; each worker has its own.

    :raise ListenError: for the first that cannot be opened; nothing is left open.
    """
    if sockets.port is None:
        return []
    opened = openAll(
        sockets.binding.interfaces,
        sockets.port,
        sockets.transports,
        reuse=sockets.binding.reuse,
        backlog=sockets.binding.backlog,
        linger=sockets.binding.linger,
    )
    return [Listener.of(one) for one in opened]


def openShared(sockets: Sockets) -> list[Listener]:
    """
    Open the sockets that all workers share.

    :raise ListenError: for the first that cannot be opened; nothing is left open.
    """
    with allOrNone() as opened:
        if sockets.systemd:
            from echotwist.sockets.passed import adopt

            opened += map(Listener.of, adopt(sockets.binding.linger))
        if sockets.unixDatagrams:
            from echotwist.sockets.unix import named, openUnixDatagram

            opened += (Listener.of(openUnixDatagram(named(text))) for text in sockets.unixDatagrams)
        if sockets.raw is not None:
            from echotwist.datagrams.raw import openRaw

            places = _rawAddresses(sockets.binding.interfaces, sockets.raw)
            opened += (Listener.of(openRaw(place, sockets.raw)) for place in places)
    return opened


def _rawAddresses(interfaces: Iterable[str], protocol: int) -> list[Address]:
    """
    Find the addresses to listen on for raw packets.

    :raise ListenError: there is no such address; or two sockets would get the same
        packets and answer them twice, which bind(2) does not prevent.
    """
    found = findAll(tuple(interfaces), None, [f"raw {protocol}"])
    # A raw socket takes only one family.
    four = [
        evolve(address, family=socket.AF_INET, host="0.0.0.0", dual=False)
        for address in found
        if address.dual
    ]
    places = [*four, *(evolve(address, dual=False) for address in found)]
    for place, other in combinations(places, 2):
        if place.overlaps(other):
            why = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            hint = f"{place.inWords()} takes the same packets"
            raise ListenError("raw", f"{protocol} {other.inWords()}", why, hint)
    return places


def textOf(listeners: Iterable[Listener]) -> str:
    """
    Format the places where sockets listen for a person.
    """
    return ", ".join(listener.text for listener in listeners)


def closeAll(listeners: Iterable[Listener]) -> None:
    """
    Close sockets.
    """
    for listener in listeners:
        listener.close()


def startAll(listeners: Iterable[Listener], ports: Iterable[IListeningPort]) -> None:
    """
    Let ports listen, except those of endpoints, which already do.
    """
    for listener, port in zip(listeners, ports, strict=True):
        if listener.socket is not None:
            port.startListening()
