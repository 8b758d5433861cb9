"""
How long a flow may be silent: which silences to try next, and what is known by now (pure).

A flow that answers after its silence is proof.  One that does not may have met something
else, such as a service that was started again: so a silence counts as too long in the end
only when flows of two rounds have ended by then, and none has survived as long.

All times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

#: In how many rounds flows must have ended after a silence that is too long.
_ROUNDS = 2


@frozen
class Trial:
    """
    What became of one flow.

    :param silence: for how long it was silent, or until when it ended.
    :param round: in which round; see :meth:`Search.plan`.
    :param ending: in a word how it ended; nothing if it answered.
    :param reason: the same in more words.
    :param settledAt: when that was known, by ``CLOCK_REALTIME``.
    """

    silence: int
    round: int
    ending: str | None = None
    reason: str | None = None
    settledAt: int = 0


class Search:
    """
    Double the silence until flows end, then divide what is between.

    :param first: the shortest silence that is tried.
    :param longest: the longest one.
    :param precision: how far apart the longest silence that survived and the shortest one
        that did not may be.
    :param flows: how many silences to try at once between these two.
    :param trials: what became of flows before.
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
        The flow that ended after the shortest silence that is not refuted.
        """
        return min(self._ends(), key=lambda one: one.silence, default=None)

    def _ends(self) -> list[Trial]:
        survived = self.survived
        return [one for one in self.trials if one.ending is not None and one.silence > survived]

    @property
    def isDone(self) -> bool:
        """
        Whether all is known that was asked for.
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
        # The last is tried again, too: if it answers now, something else was the matter.
        return [*range(low + step, high, step), high]

    def _doubled(self) -> list[int]:
        silences, one = [], self._first
        while one < self.longest:
            silences.append(one)
            one *= 2
        return [one for one in (*silences, self.longest) if one > self.survived]

    def note(self, trial: Trial) -> None:
        """
        Take what became of a flow.
        """
        self.trials.append(trial)

    def matters(self, silence: int) -> bool:
        """
        Tell whether a flow of this round that is to be silent so long can still tell
        something new.
        """
        if silence <= self.survived:
            return False
        ends = [one.silence for one in self._ends() if one.round == self.round]
        return not ends or silence < min(ends)

    def rounded(self, silence: int, planned: int) -> int:
        """
        Give the silence that a flow has not survived, in coarser steps than those of the
        clock: what was planned, if it is that, or somewhat more than what it was.
        """
        step = max(1, self._precision // 4)
        if abs(silence - planned) < step:
            return planned
        return -(-silence // step) * step
