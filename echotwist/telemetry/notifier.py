"""
Notify systemd of the state of the service (sd_notify(3), sd_watchdog_enabled(3)).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from echotwist.sockets.errors import inWords

#: Seconds to wait for a busy manager with a message that is sent only once.
MANAGER_TIMEOUT = 1.0


class Notifier:
    """
    Notify the manager, systemd, of the state of the service.

    :param environ: the environment, which names the socket of the manager, and how
        long it waits for a sign of life.
    :param reactor: the clock; while it makes its calls, the service is alive.
    :param checkAlive: called before each sign of life.
    """

    _log = Logger()

    def __init__(
        self,
        environ: Mapping[str, str],
        reactor: IReactorTime,
        checkAlive: Callable[[], object] = lambda: None,
    ) -> None:
        self._place = environ.get("NOTIFY_SOCKET", "")
        if self._place.startswith("@"):
            self._place = "\0" + self._place[1:]
        self._reactor = reactor
        self._checkAlive = checkAlive
        self._pause = 0.0
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with suppress(ValueError, OverflowError):
                # sd_watchdog_enabled(3) recommends a message twice within that time.
                self._pause = int(environ.get("WATCHDOG_USEC", "0")) / 2_000_000
        self._next: IDelayedCall | None = None
        self._hasFailed = False

    def ready(self, text: str) -> None:
        """
        Tell that the service serves peers.

        :param text: the state, in words.
        """
        self._tell("READY=1", f"STATUS={text}")
        if self._place and self._pause > 0:
            self._live()

    def stopping(self, text: str) -> None:
        """
        Tell that the service stops.

        :param text: the state, in words.
        """
        self._tell("STOPPING=1", f"STATUS={text}")

    def stopped(self) -> None:
        """
        Send no more messages.
        """
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _live(self) -> None:
        self._next = self._reactor.callLater(self._pause, self._live)
        self._checkAlive()
        self._tell("WATCHDOG=1", timeout=0)

    def _tell(self, *words: str, timeout: float = MANAGER_TIMEOUT) -> None:
        if not self._place:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
                told.settimeout(timeout)
                told.sendto("\n".join(words).encode(), self._place)
        except OSError as error:
            if not self._hasFailed:
                self._log.warn("cannot notify systemd: {reason}", reason=inWords(error))
            self._hasFailed = True
