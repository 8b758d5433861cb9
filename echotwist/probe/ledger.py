"""
Keep the outcome of each message: the part of the books that every measurement needs
(pure).

Arrays keep 17 bytes for each of the last messages.  Older messages are only summed.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy

from echotwist.probe.distribution import AMPLE, Memory
from echotwist.probe.tally import Losses, Reasons, Runs

#: The states of a probe: still under way; answered in time; answered, but late; lost,
#: left and never answered; lost, never left; lost, as an ICMP error reports.
PENDING, BACK, LATE, UNANSWERED, NEVER_LEFT, REPORTED = range(1, 7)

#: The state of any reply after the first to its probe.
TWICE = 7

_LOST = (UNANSWERED, NEVER_LEFT, REPORTED)


def sizeFor(room: int, memory: Memory) -> int:
    """
    Return how many probes to remember, a power of 2.
    """
    return 1 << max(memory.probes, 2 * room - 1).bit_length()


class Ledger:
    """
    Keep the outcome of each probe, by its number; numbers begin with 1.

    :param timeout: nanoseconds after which a reply is late.
    :param room: how many probes may be under way at a time; twice as many are
        remembered, so that a late reply is still known.
    :param settled: called with the number of each probe that is no longer under way.
    :ivar sent: how many were to be sent, including those that never left.
    :ivar pending: how many are under way.
    :ivar back: how many were answered in time.
    :ivar late: how many were answered later.
    :ivar twice: replies after the first of each probe.
    """

    def __init__(
        self,
        timeout: int,
        room: int = 0,
        settled: Callable[[int], None] | None = None,
        memory: Memory = AMPLE,
    ) -> None:
        size = sizeFor(room, memory)
        self._memory = memory
        self._mask = size - 1
        self._timeout = timeout
        self._settled = settled
        self._states = bytearray(size)
        self._sentAt, self._wall = (array("q", bytes(8 * size)) for _ in range(2))
        self._reasons: dict[int, str] = {}
        self._neverLeft = Reasons()
        self._reported = Reasons()
        self._unanswered = 0
        self._runs = Runs()
        self._first = 1  # All probes before it are only summed.
        self._oldest = 1  # All probes before it are settled.
        self.sent = self.pending = self.back = self.late = self.twice = 0

    def waitFor(self, timeout: int, room: int) -> None:
        """
        Change the timeout, and the number of probes that may be under way.
        """
        self._timeout = timeout
        times = sizeFor(room, self._memory) // (self._mask + 1)
        if times > 1:
            self._mask = (self._mask + 1) * times - 1
            self._grow(times)

    def _grow(self, times: int) -> None:
        """
        Make room for more probes; each remembered probe is then at its new place, too.
        """
        self._states *= times
        self._sentAt *= times
        self._wall *= times

    # What happens to a probe

    def begin(self, now: int, wall: int) -> int:
        """
        Note that a probe is about to be sent.

        :param now: by the clock that timeouts go by, in nanoseconds.
        :param wall: the time that it carries.
        :return: its number.
        """
        self.sent += 1
        number = self.sent
        place = number & self._mask
        if number - self._first > self._mask:
            self._forget(self._first)
            self._first += 1
            if self._oldest < self._first:
                self._oldest = self._first
        self._states[place] = PENDING
        self._sentAt[place] = now
        self._wall[place] = wall
        self.pending += 1
        return number

    def lose(self, number: int, state: int, reason: str) -> bool:
        """
        Note that a probe is lost, and why.

        :param state: ``NEVER_LEFT`` or ``REPORTED``.
        :return: whether that was not known before.
        """
        if self.stateOf(number) != PENDING:
            return False
        self._settle(number, state)
        self._reasons[number] = reason
        return True

    def answer(self, number: int, took: int) -> int:
        """
        Note that a reply to a probe came in.

        :param number: the number of a remembered probe.
        :param took: nanoseconds from probe to reply.
        :return: what the reply is: ``BACK``, ``LATE`` or ``TWICE``.
        """
        before = self._states[number & self._mask]
        if before in (BACK, LATE):
            self.twice += 1
            return TWICE
        isInTime = took <= self._timeout
        if isInTime:
            self.back += 1
        else:
            self.late += 1
        self._reasons.pop(number, None)
        self._settle(number, BACK if isInTime else LATE)
        return BACK if isInTime else LATE

    def expire(self, now: int) -> list[int]:
        """
        Count the probes as lost that were under way for too long.

        :return: their numbers.
        """
        lost = []
        while (at := self.expiry) is not None and at < now:
            self._settle(self._oldest, UNANSWERED)
            lost.append(self._oldest)
        return lost

    @property
    def expiry(self) -> int | None:
        """
        When the next probe counts as lost, if any is under way.
        """
        if not self.pending:
            return None
        while self._states[self._oldest & self._mask] != PENDING:
            self._oldest += 1
        return self._sentAt[self._oldest & self._mask] + self._timeout

    # What is known of a probe

    def isKnown(self, number: int) -> bool:
        """
        Tell whether there was such a probe, and it is still remembered.
        """
        return self._first <= number <= self.sent

    def stateOf(self, number: int) -> int:
        """
        Return the state of a probe; 0 if it is not known.
        """
        return self._states[number & self._mask] if self.isKnown(number) else 0

    def sentAt(self, number: int) -> int:
        """
        Return when a known probe was sent, by the clock of timeouts.
        """
        return self._sentAt[number & self._mask]

    def wallOf(self, number: int) -> int:
        """
        Return the time that a known probe carries.
        """
        return self._wall[number & self._mask]

    def sentWith(self, wall: int) -> int | None:
        """
        Find a probe by the time that it carries.
        """
        place = -1
        with suppress(ValueError):
            while True:  # It may be at places of probes that are not known, too.
                place = self._wall.index(wall, place + 1)
                number = self.sent - ((self.sent - place) & self._mask)
                if self.isKnown(number):
                    return number
        return None

    @property
    def isFull(self) -> bool:
        """
        Whether one more would take the place of one that is under way.
        """
        isNear = self.sent - self._oldest >= self._mask
        return isNear and self.expiry is not None and self.sent - self._oldest >= self._mask

    def underWay(self) -> Iterator[int]:
        """
        Return the numbers of the probes under way, the oldest first.
        """
        if self.expiry is not None:
            for number in range(self._oldest, self.sent + 1):
                if self._states[number & self._mask] == PENDING:
                    yield number

    def losses(self) -> Losses:
        """
        Sum up the losses known now.
        """
        neverLeft, reported, runs = (
            Reasons(self._neverLeft),
            Reasons(self._reported),
            copy(self._runs),
        )
        unanswered = self._unanswered
        for number in range(self._first, self.sent + 1):
            state = self._states[number & self._mask]
            if state == PENDING:
                continue
            runs.feed(state in _LOST)
            unanswered += state == UNANSWERED
        for number, reason in self._reasons.items():
            which = neverLeft if self.stateOf(number) == NEVER_LEFT else reported
            which.note(reason)
        return Losses(neverLeft, reported, unanswered, runs)

    # How it is kept

    def _settle(self, number: int, state: int) -> None:
        place = number & self._mask
        wasPending = self._states[place] == PENDING
        self._states[place] = state
        if wasPending:
            self.pending -= 1
            if self._settled is not None:
                self._settled(number)

    def _forget(self, number: int) -> None:
        """
        Sum up a probe whose place a newer one takes.
        """
        state = self._states[number & self._mask]
        if state == PENDING:
            self._settle(number, state := UNANSWERED)
        self._runs.feed(state in _LOST)
        self._unanswered += state == UNANSWERED
        if state in (NEVER_LEFT, REPORTED):
            which = self._neverLeft if state == NEVER_LEFT else self._reported
            which.note(self._reasons.pop(number))
