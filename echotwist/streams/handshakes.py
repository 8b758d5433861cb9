"""
Time limits for handshakes: of TLS, or a PROXY header.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from echotwist.streams.interfaces import IHandshake
from echotwist.streams.timeouts import InactivityTimeout
from echotwist.telemetry.log import RateLimitedLog

#: Seconds within which a peer must finish its handshake: of TLS, or a PROXY header.
HANDSHAKE_TIMEOUT = 10.0


class Handshakes:
    """
    The handshakes that are going on; reset a connection whose handshake takes too long.

    :param seconds: how long a handshake may take.
    :param limitedLog: counts and logs those that took longer.
    :param reactor: the clock (``IReactorTime``).
    """

    def __init__(self, seconds: float, limitedLog: RateLimitedLog, reactor: IReactorTime) -> None:
        self._limitedLog = limitedLog
        # Only the end of a handshake counts as progress.
        self._open: dict[IHandshake, int] = {}
        self._timeout = InactivityTimeout(
            seconds, lambda: self._open, self._end, reactor, lambda: bool(self)
        )

    def __bool__(self) -> bool:
        return bool(self._open)

    def started(self, connection: IHandshake) -> None:
        """
        Start the time limit for a handshake.
        """
        self._open[connection] = 0
        self._timeout.start()

    def finished(self, connection: IHandshake) -> None:
        """
        Stop the time limit for a handshake.
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
        Reset all connections whose handshake is not finished.
        """
        for connection in list(self._open):
            self._abort(connection)
