"""
Open the sockets that listen.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import product

from echotwist.sockets import packetinfo
from echotwist.sockets.addresses import (
    BIND_TO_DEVICE,
    Address,
    addressesOf,
    nameText,
    peerText,
    placeOf,
    wildcards,
)
from echotwist.sockets.errors import ListenError
from echotwist.sockets.options import enlarge, setLinger, stopLingering

#: How often to try to find a port number that is free on all addresses.
PORT_TRIES = 20

_INTERNET_NAMES = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP", socket.SOCK_RAW: "raw"}
_UNIX_NAMES = {socket.SOCK_STREAM: "UNIX", socket.SOCK_DGRAM: "UNIX datagram"}

Socket = socket.socket

#: A function that opens a socket at an address, on a port.
Opener = Callable[[Address, int], Socket]


def transportOf(listener: socket.socket) -> str:
    """
    Name the transport of a socket.
    """
    names = _INTERNET_NAMES if listener.family in (socket.AF_INET, socket.AF_INET6) else _UNIX_NAMES
    return names[listener.type]


def findAll(
    interfaces: Sequence[str], port: int | None, transports: Sequence[str]
) -> list[Address]:
    """
    Find the addresses to listen on.

    :param interfaces: words that :func:`addressesOf` knows; none means everywhere.
    :param port: the port, only for the text of an error, like ``transports``.
    :raise ListenError: for the first word that names no address.
    """
    found = []
    for interface in interfaces:
        try:
            found += addressesOf(interface)
        except OSError as error:
            place = interface if port is None else f"{interface}:{port}"
            raise ListenError(" and ".join(transports), place, error) from None
    return list(dict.fromkeys(found)) or wildcards()


def openAll(
    interfaces: Sequence[str],
    port: int,
    transports: Sequence[str],
    *,
    reuse: bool,
    backlog: int,
    linger: int | None,
) -> list[socket.socket]:
    """
    Open all listeners, or none.

    :param interfaces: words that :func:`addressesOf` knows; none means everywhere.
    :param port: the number for all of them; 0 takes a free one.
    :param transports: ``TCP``, ``UDP`` or both.
    :raise ListenError: for the first listener that cannot be opened.
    """
    openers = {
        "TCP": partial(openStream, reuse=reuse, backlog=backlog, linger=linger),
        "UDP": partial(openDatagram, reuse=reuse),
    }
    addresses = findAll(interfaces, port, transports)
    return openAt(addresses, port, [openers[name] for name in transports])


def openAt(addresses: Iterable[Address], port: int, openers: Sequence[Opener]) -> list[Socket]:
    """
    Open all listeners at some addresses, on one port, or none.

    :param port: the number for all of them; 0 takes a free one.
    :param openers: the functions that open a socket at each address.
    :raise ListenError: for the first listener that cannot be opened.
    """
    places = list(product(addresses, openers))
    for left in reversed(range(PORT_TRIES)):
        try:
            return _openEach(places, port)
        except ListenError as error:
            # A number that is free for the first socket may be taken for the others.
            if port or error.number != errno.EADDRINUSE or not left:
                raise
    raise AssertionError("never reached")


def _openEach(places: Sequence[tuple[Address, Opener]], port: int) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    try:
        for address, opener in places:
            listeners.append(opener(address, port))
            port = listeners[0].getsockname()[1]
    except ListenError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def openStream(
    address: Address, port: int, *, reuse: bool, backlog: int, linger: int | None
) -> socket.socket:
    """
    Open a TCP socket that listens.

    :raise ListenError: it cannot be opened; nothing is left open.
    """
    with opening(address, socket.SOCK_STREAM, port, reuse) as listener:
        if sys.platform != "win32":  # On Windows the option would steal the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        prepareStream(listener, linger)
        listener.bind(address.withPort(port))
        listener.listen(backlog)
    return listener


def prepareStream(listener: socket.socket, linger: int | None) -> None:
    """
    Set the options of accepted TCP connections on the listening socket: they inherit
    them, on Linux, the BSDs, macOS and Windows alike.  A socket that systemd keeps may
    still have options from an earlier run.

    ``SO_OOBINLINE`` echoes urgent bytes like all others, in their places (RFC 862).
    ``SO_KEEPALIVE`` finds peers that have silently gone.  ``TCP_USER_TIMEOUT`` (RFC 5482)
    is not set: with it, Linux 6.18 also resets peers with small windows, although they
    take bytes.
    """
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if linger is None:
        stopLingering(listener)
    else:
        setLinger(listener, linger)


def openDatagram(address: Address, port: int, *, reuse: bool) -> socket.socket:
    """
    Open and bind a UDP socket, which tells the local address that each datagram was
    sent to.

    ``SO_REUSEADDR`` is never set: with it, another user's process could bind to the same
    port and take the datagrams.

    :raise ListenError: it cannot be opened; nothing is left open.
    """
    with opening(address, socket.SOCK_DGRAM, port, reuse) as listener:
        packetinfo.ask(listener)
        listener.bind(address.withPort(port))
        packetinfo.answerFromAny(listener)
    return listener


def listenerText(listener: socket.socket, transport: str) -> str:
    """
    Format where a socket listens for a person.

    :param transport: the name of the transport.
    """
    if listener.family == getattr(socket, "AF_UNIX", None):
        return f"{transport} {nameText(listener.getsockname())}"
    place = peerText(listener.getsockname())
    if listener.type == socket.SOCK_RAW:
        place, _, protocol = place.rpartition(":")
        transport = f"{transport} {protocol}"
    device = "" if "%" in place else _deviceOf(listener)
    on = f" on {device}" if device else ""
    return f"{transport} {place}{on}"


def _deviceOf(listener: socket.socket) -> str:
    if BIND_TO_DEVICE is None:
        return ""
    return listener.getsockopt(socket.SOL_SOCKET, BIND_TO_DEVICE, 16).rstrip(b"\0").decode()


def ownSockets() -> Iterator[socket.socket]:
    """
    Find the sockets that this process has open, to look at and not to use.
    """
    try:
        names = os.listdir("/dev/fd")
    except OSError:  # Other systems, and a bare folder after chroot(2), have no /proc.
        return
    for fd in map(int, names):
        with suppress(OSError):
            found = socket.socket(fileno=fd)
            try:
                yield found
            finally:
                found.detach()


def _whichOfOurs(kind: socket.SocketKind, address: Address, port: int) -> str:
    """
    Name the socket of ours that already has an address and port, if any.
    """
    for one in ownSockets():
        isLike = one.type == kind and one.family in (socket.AF_INET, socket.AF_INET6)
        if isLike and placeOf(one)[1] == port and address.overlaps(_boundAddress(one)):
            return f"we have it ourselves, for {listenerText(one, transportOf(one))}"
    return ""


def _boundAddress(listener: socket.socket) -> Address:
    host, _, *more = listener.getsockname()
    isSix = listener.family == socket.AF_INET6
    dual = isSix and not listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    scope = more[1] if isSix else 0
    return Address(socket.AddressFamily(listener.family), host, scope, _deviceOf(listener), dual)


@contextmanager
def opening(
    address: Address,
    kind: socket.SocketKind,
    port: int,
    reuse: bool,
    protocol: int = 0,
    place: str = "",
    hint: str = "",
) -> Iterator[socket.socket]:
    """
    Make a socket for the caller to bind; close it if that fails.

    :param protocol: the number of the IP protocol of a raw socket.
    :param place: the place as an error names it, if not by address and port.
    :param hint: a remedy for a lack of permission.
    :raise ListenError: for any error.
    """
    listener = None
    try:
        listener = socket.socket(address.family, kind, protocol)
        listener.setblocking(False)
        if address.family == socket.AF_INET6 and kind != socket.SOCK_RAW:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not address.dual)
        if kind != socket.SOCK_STREAM:
            enlarge(listener)
        if reuse:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if address.device and BIND_TO_DEVICE is not None:
            listener.setsockopt(socket.SOL_SOCKET, BIND_TO_DEVICE, address.device.encode())
        yield listener
    except (OSError, OverflowError) as error:  # A plugin may pass any number.
        if listener is not None:
            listener.close()
        cause = error if isinstance(error, OSError) else OSError(str(error))
        if cause.errno == errno.EACCES and 0 < port < 1024:
            hint = "ports below 1024 need root or CAP_NET_BIND_SERVICE"
        elif cause.errno != errno.EPERM:
            hint = _whichOfOurs(kind, address, port) if cause.errno == errno.EADDRINUSE else ""
        raise ListenError(
            _INTERNET_NAMES[kind], place or address.inWords(port), cause, hint
        ) from None
