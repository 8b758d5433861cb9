"""
Take over the sockets that systemd passes to a service (sd_listen_fds(3)).
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from echotwist.sockets import packetinfo
from echotwist.sockets.errors import ListenError
from echotwist.sockets.opening import prepareStream
from echotwist.sockets.options import enlarge, ignoreReports
from echotwist.sockets.unix import prepareDatagram

#: The first descriptor that systemd passes.
FIRST_DESCRIPTOR = 3

_WANTED = {
    socket.AF_INET: (socket.SOCK_STREAM, socket.SOCK_DGRAM),
    socket.AF_INET6: (socket.SOCK_STREAM, socket.SOCK_DGRAM),
    socket.AF_UNIX: (socket.SOCK_STREAM, socket.SOCK_DGRAM),
}


#: Whether they were taken over: from then on other files may have their numbers.
_taken = False


def passed() -> int:
    """
    Count the descriptors that systemd passed to this process.
    """
    for environ in (os.environ, _atStart()):
        count = environ.get("LISTEN_FDS", "")
        if environ.get("LISTEN_PID") == str(os.getpid()) and re.fullmatch("[0-9]{1,9}", count):
            return int(count)
    return 0


def _atStart() -> dict[str, str]:
    """
    Return the environment as it was at the start: Twisted removes these variables when a
    plugin asks it for the sockets.
    """
    try:
        words = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(os.fsdecode(word).split("=", 1) for word in words if b"=" in word)


def find() -> None:
    """
    Check that systemd passed sockets, before an endpoint takes one of them.

    :raise ListenError: it passed none, or fewer than ``LISTEN_FDS`` says.
    """
    count = 0 if _taken else passed()
    if not count:
        why = OSError("no socket was passed to this process")
        hint = "it must be started by a .socket unit, or by systemd-socket-activate"
        raise ListenError("sockets of", "systemd", why, hint)
    for fd in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count):
        try:
            os.fstat(fd)
        except OSError as error:
            raise _errorOf(fd, error) from None


def adopt(linger: int | None) -> list[socket.socket]:
    """
    Take over all passed sockets, except those that an endpoint has taken.

    :param linger: seconds of ``SO_LINGER`` for TCP connections, if any.
    :raise ListenError: the service cannot serve a socket of this kind.
    """
    global _taken
    _taken = True
    return [
        _adopted(fd, linger)
        for fd in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + passed())
        if _isPassed(fd)
    ]


def _isPassed(fd: int) -> bool:
    """
    Tell whether a descriptor is still the one that systemd passed.

    An endpoint that takes the socket closes it.  A file of ours may then get its number;
    but our files are never inheritable (PEP 446).
    """
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def _errorOf(fd: int, error: OSError) -> ListenError:
    return ListenError("descriptor", f"{fd} of systemd", error)


def _adopted(fd: int, linger: int | None) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        listener = socket.socket(fileno=fd)
        check(listener)
        listener.setblocking(False)
        if listener.family == socket.AF_UNIX:
            if listener.type == socket.SOCK_DGRAM:
                prepareDatagram(listener)
        elif listener.type == socket.SOCK_STREAM:
            prepareStream(listener, linger)
        else:
            enlarge(listener)
            packetinfo.ask(listener)
            packetinfo.answerFromAny(listener)
            ignoreReports(listener)
    except OSError as error:
        raise _errorOf(fd, error) from None
    return listener


def check(listener: socket.socket) -> None:
    """
    Check that the service can serve a socket of this kind.

    :raise OSError: it cannot.
    """
    if fault := _fault(listener):
        listener.detach()
        raise OSError(fault)


def _fault(listener: socket.socket) -> str:
    if listener.type not in _WANTED.get(listener.family, ()):
        return "neither stream nor datagram of TCP, UDP or UNIX"
    if listener.type == socket.SOCK_DGRAM:
        return "" if _isBound(listener) else "it is bound to no address"
    listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return "" if listens else "it does not listen; a .socket unit needs Accept=no"


def _isBound(listener: socket.socket) -> bool:
    name = listener.getsockname()
    return bool(name if listener.family == socket.AF_UNIX else name[1])
