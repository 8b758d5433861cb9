"""
The factory of stream echoes, which keeps the set of open ones.
"""

from __future__ import annotations

import errno

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from echotwist.reactors import globalReactor, keepSteady
from echotwist.sockets.addresses import whoText
from echotwist.streams.counted import CountedEcho, IEchoOwner
from echotwist.streams.ends import endText
from echotwist.streams.handshakes import HANDSHAKE_TIMEOUT, Handshakes
from echotwist.streams.interfaces import IBareConnections, IHandshake
from echotwist.streams.limits import Limits
from echotwist.streams.prefixed import PrefixEcho
from echotwist.streams.progress import pending, unsent, written
from echotwist.streams.timeouts import InactivityTimeout
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.log import RateLimitedLog

#: Seconds without a byte after which a stopping service ends a connection.
DRAIN_QUIET = 0.6


@implementer(IEchoOwner)
class EchoFactory(Factory):
    """
    Make an echo for each connection, and keep the set of open ones.

    :param prefix: bytes put before each line; none for an exact echo.
    :param verbose: log each connection when it has ended.
    :param limits: the limits that decide which peers are served; by default no limits.
    :param stallTimeout: reset a peer that has taken none of its waiting bytes for
        so many seconds; 0 for never.
    :param idleTimeout: end a connection that received nothing for so many seconds;
        0 for never.
    :param limitedLog: counts and logs errors.
    :param reactor: the clock (``IReactorTime``), which cannot be set
        (:func:`keepSteady`); by default the global reactor.
    :ivar takesBare: connections may be bare, without objects, while they only echo.
    :ivar bare: the bare connections of each port.
    :ivar watch: starts the checks whether peers take their bytes.
    :ivar isWatching: tells whether these checks run.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        prefix: bytes = b"",
        verbose: bool = False,
        limits: Limits | None = None,
        stallTimeout: float = 0,
        idleTimeout: float = 0,
        limitedLog: RateLimitedLog | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        self.prefix = prefix
        self.limitedLog = limitedLog or RateLimitedLog(Counters("TCP"))
        self.counters = self.limitedLog.counters
        self.counters.sources.append(self.settle)
        self._verbose = verbose
        self.limits = limits or Limits()
        self._reactor: IReactorTime = keepSteady(reactor or globalReactor())
        #: For each connection the time when it began, and its peer, if these are logged.
        self._open: dict[CountedEcho, tuple[float, IAddress] | None] = {}
        self.takesBare = not (prefix or verbose or idleTimeout)
        self.bare: list[IBareConnections] = []
        self._isEchoing = False
        self._watched: set[CountedEcho] = set()
        self._stallTimeout = InactivityTimeout(
            stallTimeout, self._waiting, self._stalled, self._reactor, self._isMoving
        )
        self.watch, self.isWatching = self._stallTimeout.start, self._stallTimeout.isChecking
        self._idleTimeout = InactivityTimeout(
            idleTimeout, self._quiet, self._idle, self._reactor, lambda: bool(self._open)
        )
        self._drainTimeout = InactivityTimeout(
            DRAIN_QUIET, self._quiet, self._drained, self._reactor, lambda: bool(self._open)
        )
        seconds = min(HANDSHAKE_TIMEOUT, stallTimeout or HANDSHAKE_TIMEOUT)
        self._handshakes = Handshakes(seconds, self.limitedLog, self._reactor)
        self._drains: list[Deferred[None]] = []
        self._deadline: IDelayedCall | None = None

    def buildProtocol(self, addr: IAddress | None) -> CountedEcho | None:
        """
        Make the echo for one connection.

        :return: ``None`` for a peer over a limit.
        """
        host = getattr(addr, "host", "")
        if not self.admits(host, addr):
            return None
        return self.echo(host)

    def echo(self, host: str) -> CountedEcho:
        """
        Make the echo for an admitted connection.
        """
        echo = (PrefixEcho if self.prefix else CountedEcho)(self, host)
        echo.factory = self
        return echo

    def admits(self, host: str | None, peer: object = None) -> bool:
        """
        Tell whether a connection is admitted; count one that is not.

        :param host: the peer's address; ``None`` while it is unknown.
        :param peer: the peer for the log, if there is one to name.
        """
        reason = self.limits.refusal(host)
        if reason:
            self.limitedLog.refused(reason, peer)
        return not reason

    def handshakeStarted(self, connection: IHandshake) -> None:
        """
        Start the time limit for a handshake, after which the connection is reset.

        :param connection: the protocol, which names its ``handshake``.
        """
        self._handshakes.started(connection)

    def handshakeFinished(self, connection: IHandshake) -> None:
        """
        Stop the time limit: the handshake is finished, or the connection closed.
        """
        self._handshakes.finished(connection)
        self._finishIfAlone()

    def opened(self, echo: CountedEcho) -> None:
        """
        Add a connection to the open ones.
        """
        self.limits.opened(echo.host)
        self.counters.connections += 1
        self.counters.active += 1
        local = self._verbose and echo.transport.getHost()
        self._open[echo] = (self._reactor.seconds(), local) if local else None
        self._idleTimeout.start()

    def wrote(self, echo: CountedEcho) -> None:
        """
        Watch whether the peer takes what was written.
        """
        echo.watched = True
        self._watched.add(echo)
        self.watch()

    def _isMoving(self) -> bool:
        return bool(self._isEchoing or self._watched)

    def settle(self) -> set[CountedEcho]:
        """
        Let each connection count its uncounted bytes; return those that had some.
        """
        for bare in self.bare:
            bare.settle()
        return {echo for echo in list(self._watched) if getattr(echo.transport, "settle", bool)()}

    def closed(self, echo: CountedEcho, reason: Failure) -> None:
        """
        Count and log the end of a connection.
        """
        began = self._open.pop(echo)
        if echo.watched:
            self._watched.discard(echo)
            self._stallTimeout.forget(echo)
        self._idleTimeout.forget(echo)
        self._drainTimeout.forget(echo)
        self.limits.closed(echo.host)
        self.counters.active -= 1
        # The kernel may have given up first, after many unanswered probes.
        if getattr(echo.transport, "lastError", 0) == errno.ETIMEDOUT and not echo.why:
            echo.why = "stalled"
            self.counters.stalled += 1
        if began:
            since, local = began
            self._log.info(
                "{transport} {peer} {reason}: {bytes} bytes in {seconds} s",
                transport=self.counters.transport,
                peer=whoText(echo.transport.getPeer()),
                local=whoText(local),
                bytes=echo.received,
                seconds=round(self._reactor.seconds() - since, 3),
                reason=echo.why or endText(reason),
            )
        self._finishIfAlone()

    def _isBusy(self) -> bool:
        return bool(self._open or self._handshakes or any(map(len, self.bare)))

    def _finishIfAlone(self) -> None:
        """
        If no connection is left, stop the checks, and end the drain.
        """
        if self._isBusy():
            return
        for timeout in (self._stallTimeout, self._idleTimeout, self._drainTimeout):
            timeout.stop()
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        drains, self._drains = self._drains, []
        for drained in drains:
            drained.callback(None)

    def drain(self, seconds: float) -> Deferred[None]:
        """
        Echo until each connection has been quiet for a moment, then end it.

        :param seconds: the time after which all are ended, quiet or not.
        :return: fires when no connection is left.
        """
        if not self._isBusy():
            self._finishIfAlone()
            return succeed(None)
        self.takesBare = False
        for bare in self.bare:
            bare.makeAll()
        drained: Deferred[None] = Deferred()
        self._drains.append(drained)
        self._drainTimeout.start()
        self._reactor.callLater(min(DRAIN_QUIET, seconds), self._handshakes.abortAll)
        if self._deadline is None:
            self._deadline = self._reactor.callLater(seconds, self._finishAll)
        return drained

    def _finishAll(self) -> None:
        for echo in list(self._open):
            if not echo.ending:
                self._drained(echo)
        self._deadline = self._reactor.callLater(DRAIN_QUIET, self._closeInBackground)

    def abortAll(self) -> None:
        """
        Reset all connections at once.
        """
        self._handshakes.abortAll()
        for bare in self.bare:
            bare.makeAll()
        for echo in list(self._open):
            echo.transport.abortConnection()

    def _closeInBackground(self) -> None:
        for echo in list(self._open):
            getattr(echo.transport, "closeInBackground", echo.transport.abortConnection)()

    def _waiting(self) -> dict[CountedEcho, int]:
        """
        Find the connections with bytes for their peer, now or soon, and how many bytes each
        peer has taken so far.

        On UNIX sockets the kernel also counts its overhead for each message: a message
        that the peer takes is still progress, a new message is not.
        """
        self._isEchoing = sum(bare.makeWaiting() for bare in self.bare) > 0
        moving = self.settle()
        waiting = {echo: unsent(echo.transport) for echo in self._watched}
        for echo in waiting:
            echo.watched = bool(waiting[echo]) or echo in moving
        self._watched = {echo for echo in waiting if echo.watched}
        return {echo: written(echo) - waiting[echo] for echo in self._watched}

    def _quiet(self) -> dict[CountedEcho, int]:
        """
        Find the connections whose peer has taken everything and sends nothing, and how
        many bytes each peer has sent so far.
        """
        self.settle()
        return {
            echo: echo.received
            for echo in self._open
            if not (echo.ending or unsent(echo.transport) or pending(echo.transport))
        }

    def _stalled(self, echo: CountedEcho) -> None:
        echo.why = "stalled"
        self.counters.stalled += 1
        echo.transport.abortConnection()

    def _idle(self, echo: CountedEcho) -> None:
        echo.why = "idle"
        self.counters.idle += 1
        echo.finish()

    def _drained(self, echo: CountedEcho) -> None:
        echo.why = "ended, as the service stops"
        self.counters.drained += 1
        echo.finish()
