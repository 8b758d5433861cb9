"""
Choose which silences to try next, and draw conclusions from the outcomes (pure).

A flow that answers after its silence proves that the path keeps it so long.  A flow that does
not answer may have another reason, such as a restart of the service: so a silence counts as
too long only when flows of two rounds have ended after it, and none has survived it.

All times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

#: In how many rounds a flow must have ended before its silence counts as too long.
_ROUNDS = 2


@frozen
class Trial:
    """
    The outcome of one flow.

    :param silence: nanoseconds of silence, until the probe asked or the flow ended.
    :param round: the round of the search; see :meth:`Search.plan`.
    :param ending: the kind of ending, in a word; ``None`` if the flow answered.
    :param reason: the cause in a few words.
    :param settledAt: when the outcome was known, in nanoseconds of ``CLOCK_REALTIME``.
    """

    silence: int
    round: int
    ending: str | None = None
    reason: str | None = None
    settledAt: int = 0


class Search:
    """
    Double the silence until flows end, then search between the last two silences.

    :param first: the shortest silence to try.
    :param longest: the longest silence to try.
    :param precision: the search ends when the longest silence that survived and the shortest
        that did not differ by at most this.
    :param flows: how many silences to try at once between these two.
    :param trials: the outcomes of earlier flows.
    """

    def __init__(
        self,
        first: int,
        longest: int,
        precision: int,
        flows: int,
        trials: Iterable[Trial] = (),
    ) -> None:
        self._first, self.longest = first, longest
        self._precision, self._flows = precision, flows
        self.trials = list(trials)
        self.round = max((one.round for one in self.trials), default=0)

    @property
    def survived(self) -> int:
        """
        The longest silence after which a flow answered.
        """
        return max((one.silence for one in self.trials if one.ending is None), default=0)

    @property
    def ended(self) -> Trial | None:
        """
        The flow that ended after the shortest silence longer than any that survived.
        """
        return min(self._ends(), key=lambda one: one.silence, default=None)

    def _ends(self) -> list[Trial]:
        survived = self.survived
        return [one for one in self.trials if one.ending is not None and one.silence > survived]

    @property
    def isDone(self) -> bool:
        """
        Whether the result is as exact as asked.
        """
        if self.ended is None:
            return self.survived >= self.longest
        return self.ended.silence - self.survived <= self._precision and self._isConfirmed()

    def _isConfirmed(self) -> bool:
        ends = self._ends()
        least = min(one.silence for one in ends)
        return len({one.round for one in ends if one.silence == least}) >= _ROUNDS

    def plan(self) -> list[int]:
        """
        Begin a round.

        :return: the silences to try at the same time, the shortest first.
        """
        self.round += 1
        if self.ended is None:
            return self._doubled()
        low, high = self.survived, self.ended.silence
        parts = (self._flows + 1) * self._precision
        step = max(1, -(-(high - low) // parts)) * self._precision
        # Try the last one again, too: if it answers now, its end had another cause.
        return [*range(low + step, high, step), high]

    def _doubled(self) -> list[int]:
        silences, one = [], self._first
        while one < self.longest:
            silences.append(one)
            one *= 2
        return [one for one in (*silences, self.longest) if one > self.survived]

    def note(self, trial: Trial) -> None:
        """
        Note the outcome of a flow.
        """
        self.trials.append(trial)

    def matters(self, silence: int) -> bool:
        """
        Tell whether the outcome of a flow of this round with this silence can still add
        anything.
        """
        if silence <= self.survived:
            return False
        ends = [one.silence for one in self._ends() if one.round == self.round]
        return not ends or silence < min(ends)

    def rounded(self, silence: int, planned: int) -> int:
        """
        Return the silence that a flow has not survived, in coarser steps than the clock's:
        what was planned, or somewhat more than the measured time if the flow ended before.
        """
        step = max(1, self._precision // 4)
        if abs(silence - planned) < step:
            return planned
        return -(-silence // step) * step
