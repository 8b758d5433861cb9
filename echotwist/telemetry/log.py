"""
Count errors and refusals, and log them at a limited rate.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic

from twisted.logger import Logger

from echotwist.sockets.addresses import whoText
from echotwist.sockets.errors import errorName, inWords
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.refusals import remediesOf

#: Seconds between two lines of one kind.
LINE_PAUSE = 60


class RateLimitedLog:
    """
    Count by kind, and log at most one line a minute for each kind.

    Events that strangers can cause must not fill the log.  There are few kinds: our
    calls times the errors of the kernel and the kinds of exceptions, and our reasons to
    refuse.

    :param counters: the counters of the events.
    :param clock: returns the time in seconds.
    """

    _log = Logger()

    def __init__(self, counters: Counters, clock: Callable[[], float] = monotonic) -> None:
        self.counters = counters
        self._clock = clock
        self._said: dict[object, tuple[float, int]] = {}

    def failed(self, call: str, error: OSError) -> None:
        """
        Note a system call that failed without ending the service.

        :param call: the action that failed, in a word: ``send``.
        """
        kind = (call, errorName(error))
        self.counters.errors[kind] += 1
        if (more := self._due(kind, self.counters.errors[kind])) is not None:
            self._log.warn(
                "{transport} {call} failed: {reason}{more}.",
                transport=self.counters.transport,
                call=call,
                reason=inWords(error),
                error=kind[1],
                more=more,
            )

    def broke(self, call: str) -> None:
        """
        Note the current exception, which only a bug can have raised.

        :param call: the action that failed, in a word: ``accept``.
        """
        kind = (call, getattr(sys.exc_info()[0], "__name__", ""))
        self.counters.errors[kind] += 1
        if (more := self._due(kind, self.counters.errors[kind])) is not None:
            self._log.failure(
                "{transport} {call} failed{more}.",
                transport=self.counters.transport,
                call=call,
                more=more,
            )

    def refused(self, reason: str, peer: object = None) -> None:
        """
        Note a refused connection or datagram.

        :param reason: one of the few known reasons.
        :param peer: the peer's address or name, in any form.
        """
        self.counters.refused[reason] += 1
        if (more := self._due(reason, self.counters.refused[reason])) is not None:
            remedy = remediesOf(self.counters.transport).get(reason, "")
            said = ["{transport} refused: {reason}{more}"]
            said += [", last from {peer}"] if peer else []
            said += ["; {remedy}"] if remedy else []
            self._log.warn(
                "".join(said) + ".",
                transport=self.counters.transport,
                reason=reason,
                peer=whoText(peer) if peer else "",
                remedy=remedy,
                more=more,
            )

    def _due(self, kind: object, total: int) -> str | None:
        """
        Return how often an event happened since the last line, if another line is due.
        """
        now = self._clock()
        saidAt, saidTotal = self._said.get(kind, (now - LINE_PAUSE, 0))
        if now - saidAt < LINE_PAUSE:
            return None
        self._said[kind] = (now, total)
        since = total - saidTotal
        return f" ({since} times)" if since > 1 else ""
