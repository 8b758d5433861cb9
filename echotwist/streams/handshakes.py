"""
Connections whose peers have yet to say who they are.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from echotwist.streams.interfaces import IHandshake
from echotwist.streams.timeouts import InactivityTimeout
from echotwist.telemetry.log import RateLimitedLog

#: Seconds that a peer may take for its handshake: of TLS, or what a proxy says first.
HANDSHAKE_TIMEOUT = 10.0


class Handshakes:
    """
    Handshakes that have begun; one that takes too long is ended with a reset.

    :param seconds: how long one may take.
    :param limitedLog: is told of those that took longer.
    :param reactor: tells the time and calls later.
    """

    def __init__(self, seconds: float, limitedLog: RateLimitedLog, reactor: IReactorTime) -> None:
        self._limitedLog = limitedLog
        # None of them makes any progress that counts.
        self._open: dict[IHandshake, int] = {}
        self._timeout = InactivityTimeout(
            seconds, lambda: self._open, self._end, reactor, lambda: bool(self)
        )

    def __bool__(self) -> bool:
        return bool(self._open)

    def started(self, connection: IHandshake) -> None:
        """
        Begin to wait for one.
        """
        self._open[connection] = 0
        self._timeout.start()

    def finished(self, connection: IHandshake) -> None:
        """
        Wait for it no more, if we still do.
        """
        self._open.pop(connection, None)
        self._timeout.forget(connection)

    def _end(self, connection: IHandshake) -> None:
        peer = connection.transport.getPeer()
        self._limitedLog.refused(f"unfinished {connection.handshake}", peer)
        self._abort(connection)

    def _abort(self, connection: IHandshake) -> None:
        connection.givenUp = True
        connection.transport.abortConnection()

    def abortAll(self) -> None:
        """
        Wait for none any more.
        """
        for connection in list(self._open):
            self._abort(connection)
