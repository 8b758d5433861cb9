"""
Open sockets that talk to an echo service.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from echotwist.probe.places import Place, ProbeError, Way, fault, lookUp
from echotwist.probe.target import Target
from echotwist.sockets.addresses import BIND_TO_DEVICE

#: Bytes that the kernel may keep until they are read; more than some systems give.
_RECEIVED = 2**22
#: ``SO_RCVBUFFORCE`` from Linux's ``socket.h``: root may exceed the limit.
_RECEIVED_FORCED = 33

_KINDS = {
    "udp": socket.SOCK_DGRAM,
    "raw": socket.SOCK_RAW,
    "unix-datagram": socket.SOCK_DGRAM,
}


def opened(target: Target, place: Place, way: Way, isConnected: bool = True) -> socket.socket:
    """
    Open a non-blocking socket to talk to a target.  One for datagrams is connected, one
    for streams is not connected yet.

    :param isConnected: let a socket for datagrams take only those of the target.
    :raise ProbeError: it cannot be opened; nothing is left open.
    """
    one = None
    try:
        with _explained(str(target), "link" if place.scope else target.kind):
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
            one.bind("")  # Any free abstract name: without a name, the socket could get no answer.
        return
    if way.interface:
        with _explained(f"{target}: --interface {way.interface}", "--interface"):
            _bindTo(one, way.interface)
    _mark(one, place.family == socket.AF_INET6, way)
    if target.isDatagram:
        _enlarge(one)
    else:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if way.source or way.sourcePort:
        if way.sourcePort and not target.isDatagram:
            # Without this, no second connection could follow the first.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(one, target, place, way)


def _bindTo(one: socket.socket, interface: str) -> None:
    if BIND_TO_DEVICE is None:
        raise OSError(errno.ENOTSUP, "this system has no SO_BINDTODEVICE")
    one.setsockopt(socket.SOL_SOCKET, BIND_TO_DEVICE, os.fsencode(interface))


def _bind(one: socket.socket, target: Target, place: Place, way: Way) -> None:
    host = way.source or ("::" if place.family == socket.AF_INET6 else "0.0.0.0")
    source = lookUp(f"--source {way.source}", host, way.sourcePort, place.family)[0][1]
    try:
        one.bind(source)
    except OSError as error:
        ofPort = way.sourcePort and error.errno != errno.EADDRNOTAVAIL
        option, value = ("--source-port", way.sourcePort) if ofPort else ("--source", way.source)
        raise fault(f"{target}: {option} {value}", option, error) from None


def _mark(one: socket.socket, isSix: bool, way: Way) -> None:
    level = socket.IPPROTO_IPV6 if isSix else socket.IPPROTO_IP
    if way.dscp is not None:
        # The lower two bits are for congestion (RFC 3168).
        one.setsockopt(level, socket.IPV6_TCLASS if isSix else socket.IP_TOS, way.dscp << 2)
    if way.hopLimit is not None:
        option = socket.IPV6_UNICAST_HOPS if isSix else socket.IP_TTL
        one.setsockopt(level, option, way.hopLimit)


def _enlarge(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
        one.setsockopt(socket.SOL_SOCKET, _RECEIVED_FORCED, _RECEIVED)


def _checkThatOwnAreNotSeen(one: socket.socket, target: Target, place: Place) -> None:
    """
    Check that a raw socket does not receive its own packets.
    """
    own = one.getsockname()[0]
    if own == place.address[0]:
        hint = "; say --source 127.0.0.9, or another of this host's addresses"
        raise ProbeError(
            f"{target}: raw packets from {own} to itself would be taken for replies"
            + (hint if "." in own else "")
        )


@contextmanager
def _explained(said: str, about: str) -> Iterator[None]:
    try:
        yield
    except (OSError, OverflowError, ValueError) as error:
        raise fault(said, about, error) from None


def makeRoom(files: int) -> None:
    """
    Raise the limit on open files of this process.

    :raise ProbeError: the system does not allow that.
    """
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit
    except ImportError:  # Not on Windows.
        return
    soft, hard = getrlimit(RLIMIT_NOFILE)
    if soft == RLIM_INFINITY or soft >= files:
        return
    wanted = files if hard == RLIM_INFINITY else min(files, hard)
    with suppress(OSError, ValueError):
        setrlimit(RLIMIT_NOFILE, (wanted, hard))
    if getrlimit(RLIMIT_NOFILE)[0] < files:
        raise ProbeError(f"so many connections need {files} open files; ulimit -n allows {hard}")
