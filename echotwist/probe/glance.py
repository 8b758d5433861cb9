"""
The state of one target, at a glance (pure).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import log

from attrs import define

from echotwist.probe.exchange import Exchange

#: Characters for round trips, from the shortest to the longest, and for a loss.
_LEVELS, LOSS = "▁▂▃▄▅▆▇█", "x"

#: Nanoseconds of a millisecond.
_MS = 10**6


@define
class Glance:
    """
    The view of one target.

    :param name: the name of the target.
    :param past: for each update, the longest round trip since the last one in
        nanoseconds, or ``None`` if there were losses.
    """

    name: str
    exchange: Exchange
    past: deque[int | None]
    _count: int = 0
    _lost: int = 0
    _answered: int = 0
    _at: float | None = None
    _rate: float = 0.0

    def update(self, now: float) -> None:
        """
        Update the view.

        :param now: the time in seconds.
        """
        count, lost = self.exchange.rtt.count, self.lost
        new = self.exchange.rtt.recent[self._count - count :] if count > self._count else []
        if lost > self._lost or new:
            self.past.append(None if lost > self._lost else max(new))
        answered = self.exchange.books.back + self.exchange.books.late
        if self._at is not None and now > self._at:
            self._rate = (answered - self._answered) / (now - self._at)
        self._count, self._lost, self._answered, self._at = count, lost, answered, now

    @property
    def lost(self) -> int:
        """
        How many probes are lost.
        """
        books = self.exchange.books
        return books.sent - books.pending - books.back - books.late

    @property
    def counts(self) -> str:
        """
        How many probes were sent and answered, in words.
        """
        books = self.exchange.books
        rate = f", {self._rate:,.0f}/s" if self._rate >= 1 else ""
        return f"{books.sent:,} sent, {books.back:,} back{rate}"

    @property
    def faults(self) -> list[str]:
        """
        The faults of probes and replies, in words.
        """
        exchange, books = self.exchange, self.exchange.books
        settled = books.sent - books.pending
        found = {"late": books.late, "damaged": exchange.damaged, "twice": books.twice}
        share = [f"{self.lost:,} lost ({100 * self.lost / settled:.3g} %)"] if self.lost else []
        return [*share, *(f"{count:,} {name}" for name, count in found.items() if count)]

    @property
    def times(self) -> str:
        """
        The last round trips, in words.
        """
        recent = sorted(self.exchange.rtt.recent)
        if not recent:
            return "RTT: nothing came back yet"
        middle, high = recent[len(recent) // 2], recent[(len(recent) - 1) * 99 // 100]
        shown = {"last": self.exchange.rtt.recent[-1], "median": middle, "p99": high}
        shown["max"] = recent[-1]
        figures = "  ".join(f"{name} {value / _MS:.3f}" for name, value in shown.items())
        return f"RTT of the last {len(recent)}, ms:  {figures}"


def bars(past: Iterable[int | None], width: int) -> str:
    """
    Draw round trips of the past, the last one at the right, higher where they are longer.

    :param width: columns.
    """
    shown = list(past)[-max(1, width) :]
    values = [value for value in shown if value is not None]
    low, high = min(values, default=1), max(values, default=1)
    # At least twice the shortest, so that noise is not drawn like a mountain.
    span = max(log(max(high, 1) / max(low, 1)), log(2))

    def level(value: int) -> str:
        part = log(max(value, 1) / max(low, 1)) / span
        return _LEVELS[min(len(_LEVELS) - 1, int(part * len(_LEVELS)))]

    return "".join(LOSS if value is None else level(value) for value in shown)
