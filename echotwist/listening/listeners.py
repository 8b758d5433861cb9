"""
The sockets that the settings ask for; :mod:`~echotwist.listening.endpoints` opens its own.
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
        connection; ``None`` leaves it to the kernel.
    """

    interfaces: Sequence[str]
    reuse: bool
    backlog: int
    linger: int | None


@frozen(kw_only=True)
class Sockets:
    """
    Which sockets are asked for.

    :param binding: where and how they are bound.
    :param port: the number for all of ``transports``; 0 takes one that is free.
    :param transports: what is served on the port: ``TCP``, ``UDP`` or both.
    :param endpoints: Twisted's, for streams.
    :param unixDatagrams: names of UNIX datagram sockets.
    :param systemd: all that systemd passes, but for those that endpoints take.
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

    :param socket: the socket; nothing if an endpoint keeps it to itself.
    :param transport: the name of what goes through it: ``TCP``, ``TLS``...
    :param port: serves it, if it belongs to an endpoint.
    """

    socket: Socket | None
    transport: str
    port: IListeningPort | None = None

    @classmethod
    def of(cls, opened: Socket) -> Listener:
        """
        Make a listener of a socket that itself tells what it is.
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
        Close the socket, or have the endpoint do so.
        """
        if self.socket is not None:
            self.socket.close()
        elif self.port is not None:
            self.port.stopListening()


@contextmanager
def allOrNone() -> Iterator[list[Listener]]:
    """
    Give a list for what is opened; close all that is on it if something goes wrong.
    """
    opened: list[Listener] = []
    try:
        yield opened
    except BaseException:
        closeAll(opened)
        raise


def openPlain(sockets: Sockets) -> list[Listener]:
    """
    Open all sockets but those of endpoints.

    :raise ListenError: for the first that cannot be opened; nothing is left open.
    """
    with allOrNone() as opened:
        opened += openOwn(sockets)
        opened += openShared(sockets)
    return opened


def openOwn(sockets: Sockets) -> list[Listener]:
    """
    Open the sockets of the port, of which each worker has its own.

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
    Open the sockets that workers share.

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
    Find where to listen for raw packets.

    :raise ListenError: there is no such place; or one packet would come to two
        sockets, and be answered twice, which bind(2) allows.
    """
    found = findAll(tuple(interfaces), None, [f"raw {protocol}"])
    # No raw socket takes both families.
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
    Write where sockets listen, as a person reads it.
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
    Have ports listen, but for those of endpoints that do so already.
    """
    for listener, port in zip(listeners, ports, strict=True):
        if listener.socket is not None:
            port.startListening()
