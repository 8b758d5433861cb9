"""
What goes wrong or is refused: counted, and told sparingly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic

from twisted.logger import Logger

from echotwist.counters import Counters
from echotwist.sockets import errorName, inWords

#: Seconds between two lines of one kind.
QUIET = 60


class Journal:
    """
    Count by kind, and log at most one line a minute for each kind.

    What strangers can cause must not fill the log.  The kinds are few: the
    calls that we make times the errors of the kernel and the kinds of exceptions,
    and our reasons to refuse.

    :param counters: are counted up.
    :param clock: tells the time in seconds.
    """

    _log = Logger()

    def __init__(self, counters: Counters, clock: Callable[[], float] = monotonic) -> None:
        self.counters = counters
        self._clock = clock
        self._said: dict[object, tuple[float, int]] = {}

    def failed(self, call: str, error: OSError) -> None:
        """
        Note that a system call failed, and was survived.

        :param call: what it was for, in a word: ``send``.
        """
        kind = (call, errorName(error))
        self.counters.errors[kind] += 1
        if more := self._due(kind, self.counters.errors[kind]):
            self._log.warn(
                "{transport} {call} failed: {reason}{more}",
                transport=self.counters.transport,
                call=call,
                reason=inWords(error),
                error=kind[1],
                more=more,
            )

    def broke(self, call: str) -> None:
        """
        Note the exception at hand, which only a mistake in somebody's program can
        have raised.

        :param call: what it was for, in a word: ``accept``.
        """
        kind = (call, getattr(sys.exc_info()[0], "__name__", ""))
        self.counters.errors[kind] += 1
        if more := self._due(kind, self.counters.errors[kind]):
            self._log.failure(
                "{transport} {call} failed{more}",
                transport=self.counters.transport,
                call=call,
                more=more,
            )

    def refused(self, reason: str) -> None:
        """
        Note that a peer or a datagram was turned away.

        :param reason: one of few.
        """
        self.counters.refused[reason] += 1
        if more := self._due(reason, self.counters.refused[reason]):
            self._log.warn(
                "{transport} refused: {reason}{more}",
                transport=self.counters.transport,
                reason=reason,
                more=more,
            )

    def _due(self, kind: object, total: int) -> str:
        """
        Say whether a line is due, as the text that ends it.
        """
        now = self._clock()
        saidAt, saidTotal = self._said.get(kind, (now - QUIET, 0))
        if now - saidAt < QUIET:
            return ""
        self._said[kind] = (now, total)
        since = total - saidTotal
        return f" ({since} times)" if since > 1 else "."
