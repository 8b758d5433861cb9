"""
What systemd passes to a service, and what it wants to hear (sd_listen_fds(3),
sd_notify(3), sd_watchdog_enabled(3)).
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from echotwist.recovery import ignoreReports
from echotwist.sockets import packetinfo
from echotwist.sockets.opening import ListenError, inWords, prepareStream
from echotwist.sockets.unix import prepareDatagram

#: The first descriptor that is passed.
FIRST = 3

#: Seconds to wait for a manager that has much to hear, with what is said just once.
PATIENCE = 1.0

_WANTED = {
    socket.AF_INET: (socket.SOCK_STREAM, socket.SOCK_DGRAM),
    socket.AF_INET6: (socket.SOCK_STREAM, socket.SOCK_DGRAM),
    socket.AF_UNIX: (socket.SOCK_STREAM, socket.SOCK_DGRAM),
}


#: Whether they were taken over: their numbers may be others' then.
_taken = False


def passed() -> int:
    """
    Count the descriptors that were passed to this process.
    """
    for environ in (os.environ, _atStart()):
        count = environ.get("LISTEN_FDS", "")
        if environ.get("LISTEN_PID") == str(os.getpid()) and re.fullmatch("[0-9]{1,9}", count):
            return int(count)
    return 0


def _atStart() -> dict[str, str]:
    """
    Give the environment as it was at first: whoever asks Twisted for them, as
    any plugin may have done, takes these words out of it.
    """
    try:
        words = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(os.fsdecode(word).split("=", 1) for word in words if b"=" in word)


def find() -> None:
    """
    See that sockets were passed, before an endpoint takes one of them.

    :raise ListenError: none was, or fewer than it is said.
    """
    count = 0 if _taken else passed()
    if not count:
        why = OSError("no socket was passed to this process")
        hint = "it must be started by a .socket unit, or by systemd-socket-activate"
        raise ListenError("sockets of", "systemd", why, hint)
    for fd in range(FIRST, FIRST + count):
        try:
            os.fstat(fd)
        except OSError as error:
            raise _errorOf(fd, error) from None


def adopt(linger: int | None) -> list[socket.socket]:
    """
    Take over all sockets that were passed, but for those that an endpoint has taken.

    :param linger: seconds of ``SO_LINGER`` for connections of TCP, if any.
    :raise ListenError: one is of a kind that cannot be served.
    """
    global _taken
    _taken = True
    return [_adopted(fd, linger) for fd in range(FIRST, FIRST + passed()) if _isPassed(fd)]


def _isPassed(fd: int) -> bool:
    """
    Tell whether a descriptor is still the one that was passed.

    An endpoint closes it when it has taken the socket.  Then it may be a file of
    ours; but those are never inheritable (PEP 446).
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
            packetinfo.ask(listener)
            packetinfo.answerFromAny(listener)
            ignoreReports(listener)
    except OSError as error:
        raise _errorOf(fd, error) from None
    return listener


def check(listener: socket.socket) -> None:
    """
    See that a socket is of a kind that can be served.

    :raise OSError: it is not.
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


class Notifier:
    """
    Tell the manager how the service stands.

    :param environ: names the socket of the manager, and how long it waits for
        a sign of life.
    :param reactor: calls later; that it does is the sign of life.
    :param look: is called before each.
    """

    _log = Logger()

    def __init__(
        self,
        environ: Mapping[str, str],
        reactor: Any,
        look: Callable[[], object] = lambda: None,
    ) -> None:
        self._place = environ.get("NOTIFY_SOCKET", "")
        if self._place.startswith("@"):
            self._place = "\0" + self._place[1:]
        self._reactor = reactor
        self._look = look
        self._pause = 0.0
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with suppress(ValueError, OverflowError):
                # It asks to hear from us twice in that time.
                self._pause = int(environ.get("WATCHDOG_USEC", "0")) / 2_000_000
        self._next: Any = None
        self._hasFailed = False

    def ready(self, text: str) -> None:
        """
        Tell that peers are served.

        :param text: how it stands, in words.
        """
        self._tell("READY=1", f"STATUS={text}")
        if self._place and self._pause > 0:
            self._live()

    def stopping(self, text: str) -> None:
        """
        Tell that it stops.

        :param text: how it stands, in words.
        """
        self._tell("STOPPING=1", f"STATUS={text}")

    def stopped(self) -> None:
        """
        Tell nothing more.
        """
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _live(self) -> None:
        self._next = self._reactor.callLater(self._pause, self._live)
        self._look()
        self._tell("WATCHDOG=1", patience=0)

    def _tell(self, *words: str, patience: float = PATIENCE) -> None:
        if not self._place:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
                told.settimeout(patience)
                told.sendto("\n".join(words).encode(), self._place)
        except OSError as error:
            if not self._hasFailed:
                self._log.warn("cannot notify systemd: {reason}", reason=inWords(error))
            self._hasFailed = True
