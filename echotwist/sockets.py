"""
Sockets that listen, and what went wrong, in words.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import product

from echotwist import packetinfo
from echotwist.addresses import BIND_TO_DEVICE, Address, addressesOf, peerText, wildcard

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

#: How often a number that is free for one transport may be taken for another.
TRIES = 20

#: Files that stay free for all else: logs, metrics, a spare one.
RESERVED_FILES = 16

_Opener = Callable[[Address, int], socket.socket]

#: What helps, where the reason alone does not say it.
_HINTS = {
    errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE",
    errno.EADDRINUSE: "another program has it; --reuse shares it if both ask for that",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}


class ListenError(Exception):
    """
    A listener that could not be opened; its text is one line for a person.

    :param transport: ``TCP``, ``UDP`` or both.
    :param place: the address and port.
    :param error: what the system said.
    """

    def __init__(self, transport: str, place: str, error: OSError) -> None:
        hint = _HINTS.get(error.errno or 0)
        said = f"cannot listen on {transport} {place}: {inWords(error)}"
        super().__init__(f"{said}; {hint}" if hint else said)
        self.error = error


def inWords(error: OSError) -> str:
    """
    Say an error of the system: the reason and its number.
    """
    return f"{error.strerror or error} (errno {error.errno})"


def errorName(error: OSError) -> str:
    """
    Give the symbol of an error: ``ENOBUFS``, or its number where it has none.
    """
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def findAll(interfaces: Sequence[str], port: int, transports: Sequence[str]) -> list[Address]:
    """
    Find the addresses to listen on.

    :param interfaces: words that :func:`addressesOf` knows; none means everywhere.
    :param port: only to be named in an error, as are the transports.
    :raise ListenError: for the first word that means nothing here.
    """
    found = []
    for interface in interfaces:
        try:
            found += addressesOf(interface)
        except OSError as error:
            place = f"{interface}:{port}"
            raise ListenError(" and ".join(transports), place, error) from None
    return list(dict.fromkeys(found)) or [wildcard()]


def openAll(
    interfaces: Sequence[str],
    port: int,
    transports: Sequence[str],
    *,
    reuse: bool,
    backlog: int,
    linger: int | None,
    stallTimeout: float,
) -> list[socket.socket]:
    """
    Open all listeners, or none.

    :param interfaces: words that :func:`addressesOf` knows; none means everywhere.
    :param port: the number for all of them; 0 takes one that is free.
    :param transports: ``TCP``, ``UDP`` or both.
    :raise ListenError: for the first listener that cannot be opened.
    """
    openers = {
        "TCP": partial(
            openStream, reuse=reuse, backlog=backlog, linger=linger, stallTimeout=stallTimeout
        ),
        "UDP": partial(openDatagram, reuse=reuse),
    }
    places = list(
        product(findAll(interfaces, port, transports), [openers[name] for name in transports])
    )
    for _ in range(TRIES if port == 0 else 0):
        # The kernel gives a number that is free for the first; for the others
        # it may be taken.
        with suppress(ListenError):
            return _openEach(places, port)
    return _openEach(places, port)


def _openEach(places: Sequence[tuple[Address, _Opener]], port: int) -> list[socket.socket]:
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
    address: Address,
    port: int,
    *,
    reuse: bool,
    backlog: int,
    linger: int | None,
    stallTimeout: float,
) -> socket.socket:
    """
    Open a TCP socket that listens.

    What accepted connections need is set here, once: they inherit it, on
    Linux, the BSDs, macOS and Windows alike.  The kernel itself gives up a
    peer that takes no bytes for a time (``TCP_USER_TIMEOUT``, RFC 5482; Linux
    only), and after some hours one that is silently gone (``SO_KEEPALIVE``).

    :param stallTimeout: that time in seconds; 0 for the kernel's own idea.
    :raise ListenError: nothing is left open then.
    """
    with _opening(address, socket.SOCK_STREAM, port, reuse) as listener:
        if sys.platform != "win32":  # There it means something else: to steal the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = round(stallTimeout * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        if linger is not None:
            setLinger(listener, linger)
        listener.bind(address.withPort(port))
        listener.listen(backlog)
    return listener


def setLinger(stream: socket.socket, seconds: int) -> None:
    """
    Set ``SO_LINGER`` (socket(7)).

    :param seconds: how long a close waits; with 0 it resets the connection.
    """
    # Two integers for Unix, two short ones for Windows.
    layout = "hh" if sys.platform == "win32" else "ii"
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(layout, 1, seconds))


def openDatagram(address: Address, port: int, *, reuse: bool) -> socket.socket:
    """
    Open a UDP socket that is bound, and told to say which local address each
    datagram was sent to.

    ``SO_REUSEADDR`` is never set: with it another user's process could bind
    beside ours and take the datagrams.

    :raise ListenError: nothing is left open then.
    """
    with _opening(address, socket.SOCK_DGRAM, port, reuse) as listener:
        packetinfo.ask(listener)
        listener.bind(address.withPort(port))
    return listener


def listenerText(listener: socket.socket) -> str:
    """
    Write where a socket listens, as a person reads it.
    """
    transport = "TCP" if listener.type == socket.SOCK_STREAM else "UDP"
    device = b""
    if BIND_TO_DEVICE is not None:
        device = listener.getsockopt(socket.SOL_SOCKET, BIND_TO_DEVICE, 16).rstrip(b"\0")
    on = f" on {device.decode()}" if device else ""
    return f"{transport} {peerText(listener.getsockname())}{on}"


@contextmanager
def _opening(
    address: Address, kind: socket.SocketKind, port: int, reuse: bool
) -> Iterator[socket.socket]:
    listener = None
    try:
        listener = socket.socket(address.family, kind)
        listener.setblocking(False)
        if address.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not address.dual)
        if reuse:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if address.device and BIND_TO_DEVICE is not None:
            listener.setsockopt(socket.SOL_SOCKET, BIND_TO_DEVICE, address.device.encode())
        yield listener
    except OSError as error:
        if listener is not None:
            listener.close()
        transport = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        raise ListenError(transport, address.inWords(port), error) from None


def roomForConnections(most: int | None = None) -> int | None:
    """
    Tell how many connections the limit on open files leaves room for
    (``RLIMIT_NOFILE``, getrlimit(2)).

    :param most: a limit that the reactor has itself, if any.
    :return: nothing where there is no limit.
    """
    if resource is None:
        return most
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [n for n in (limit, most) if n is not None and n != resource.RLIM_INFINITY]
    if not limits:
        return None
    return max(1, min(limits) - len(os.listdir("/dev/fd")) - RESERVED_FILES)
