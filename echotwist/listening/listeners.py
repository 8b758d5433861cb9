"""
The sockets that settings ask for, apart from those of endpoints.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from itertools import combinations
from typing import Any

from attrs import evolve, frozen

from echotwist.settings import Settings
from echotwist.sockets.addresses import Address
from echotwist.sockets.errors import ListenError
from echotwist.sockets.opening import Socket, findAll, listenerText, openAll, transportOf


@frozen(eq=False)
class Listener:
    """
    One bound socket to serve on.

    :param socket: it; or nothing, if an endpoint keeps it to itself.
    :param transport: the name of what goes through it: ``TCP``, ``TLS``...
    :param port: serves it, if it belongs to an endpoint.
    """

    socket: Socket | None
    transport: str
    port: Any = None

    @classmethod
    def of(cls, opened: Socket) -> Listener:
        """
        Make it of a socket that tells itself what it is.
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
        Close the socket.
        """
        if self.socket is None:
            self.port.stopListening()
        else:
            self.socket.close()


def openOwn(settings: Settings) -> list[Listener]:
    """
    Open the sockets of ``--port``, of which each worker has its own.

    :raise ListenError: for the first that cannot be opened; nothing is left open.
    """
    if settings.port is None:
        return []
    opened = openAll(
        settings.interfaces,
        settings.port,
        settings.transports,
        reuse=settings.reuse,
        backlog=settings.backlog,
        linger=settings.linger,
    )
    return [Listener.of(one) for one in opened]


def openShared(settings: Settings) -> list[Listener]:
    """
    Open the sockets that workers share.

    :raise ListenError: for the first that cannot be opened; nothing is left open.
    """
    opened: list[Listener] = []
    try:
        if settings.systemd:
            from echotwist.sockets.passed import adopt

            opened += map(Listener.of, adopt(settings.linger))
        if settings.unixDatagrams:
            from echotwist.sockets.unix import named, openUnixDatagram

            for text in settings.unixDatagrams:
                opened.append(Listener.of(openUnixDatagram(named(text))))
        if settings.raw is not None:
            from echotwist.datagrams.raw import openRaw

            for address in _rawAddresses(settings.interfaces, settings.raw):
                opened.append(Listener.of(openRaw(address, settings.raw)))
    except BaseException:
        closeAll(opened)
        raise
    return opened


def _rawAddresses(interfaces: Iterable[str], protocol: int) -> list[Address]:
    """
    Find where to listen for raw packets.

    :raise ListenError: there is no such place; or one packet would come to two
        of them, and be answered twice: bind(2) does not mind.
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


def closeAll(listeners: Iterable[Listener]) -> None:
    """
    Close sockets.
    """
    for listener in listeners:
        listener.close()
