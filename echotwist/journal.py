"""
What goes wrong, counted, and told sparingly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from time import monotonic

from twisted.logger import Logger

from echotwist.sockets import errorName, inWords

#: Seconds between two lines of one kind.
QUIET = 60


class Journal:
    """
    Count errors by kind, and log at most one line a minute for each kind.

    What strangers can cause must not fill the log.  The kinds are few: the
    calls that we make times the errors that the kernel knows.

    :param clock: tells the time in seconds.
    """

    _log = Logger("echotwist")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}
        self.errors: Counter[tuple[str, str]] = Counter()

    def failed(self, doing: str, error: OSError) -> None:
        """
        Note that a system call failed, and was survived.

        :param doing: what failed, in words: ``UDP send``.
        """
        kind = (doing, errorName(error))
        self.errors[kind] += 1
        now, total = self._clock(), self.errors[kind]
        saidAt, saidTotal = self._said.get(kind, (now - QUIET, 0))
        if now - saidAt < QUIET:
            return
        self._said[kind] = (now, total)
        self._log.warn(
            "{doing} failed: {reason} ({count} since the last such line)",
            doing=doing,
            reason=inWords(error),
            error=kind[1],
            count=total - saidTotal,
        )
