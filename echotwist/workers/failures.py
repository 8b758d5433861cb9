"""
Count workers that do not come up, for the log and the health (pure).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

#: A worker that has served for so many seconds has come up.
MIN_UPTIME = 1.0

#: After so many failed starts in a row a worker fails: others serve in its place...
FAILURES_TO_REPLACE = 2

#: ...and when all workers have failed so many times, the service gives up.
FAILURES_TO_GIVE_UP = 5

#: Seconds between two lines about a worker that fails.
LINE_INTERVAL = 60.0


class Failures:
    """
    Count how often in a row each worker did not come up.

    :param names: the names of the workers.
    :param clock: returns the time in seconds.
    """

    def __init__(self, names: Iterable[str], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._count = dict.fromkeys(names, 0)
        self._since: dict[str, float] = {}
        self._said: dict[str, tuple[float, int]] = {}
        self._why: dict[str, str] = {}

    def serves(self, name: str) -> None:
        """
        Note that a worker serves.
        """
        self._since[name] = self._clock()

    def ended(self, name: str, why: str) -> str:
        """
        Note that a worker has ended.

        :param why: the reason, in words.
        :return: the reason to log; an empty text if it was logged a moment ago.
        """
        now = self._clock()
        hasComeUp = now - self._since.pop(name, now) >= MIN_UPTIME
        self._count[name] = 0 if hasComeUp else self._count[name] + 1
        self._why[name] = why
        saidAt, saidCount = self._said.get(name, (0.0, 0))
        if self._count[name] > 1 and now - saidAt < LINE_INTERVAL:
            return ""
        self._said[name] = now, self._count[name]
        times = self._count[name] - saidCount
        return f"{why} ({times} times)" if times > 1 else why

    @property
    def failing(self) -> set[str]:
        """
        The workers that do not come up.
        """
        return {name for name in self._count if self._fails(name, FAILURES_TO_REPLACE)}

    @property
    def isHopeless(self) -> bool:
        """
        Whether no worker serves, and each was started often enough.
        """
        return not self._since and min(self._count.values()) >= FAILURES_TO_GIVE_UP

    @property
    def health(self) -> str:
        """
        ``healthy``, with the workers that fail while others serve; or
        ``unhealthy``, with the reason.
        """
        least = FAILURES_TO_REPLACE if self._since else 1
        wrong = [name for name in self._count if self._fails(name, least)]
        if not wrong:
            return "healthy"
        how = "healthy, but" if self._since else "unhealthy:"
        return f"{how} " + ", ".join(f"worker {name} {self._why[name]}" for name in wrong)

    def _fails(self, name: str, least: int) -> bool:
        return self._count[name] >= least and name not in self._since
