"""
What became of each probe, in which order, and how long it took (pure).

With the arrays of a ledger that is 41 bytes for each of the last so many probes.
"""

from __future__ import annotations

from array import array

from echotwist.probe.distribution import AMPLE, Distribution, Memory
from echotwist.probe.ledger import BACK, LATE, Ledger
from echotwist.probe.tally import Times


class Books(Ledger):
    """
    Keep of each probe, too, when its reply came among others, and how long it took.

    :ivar reordered: replies that came after one to a later probe (RFC 4737, section 3.3).
    :ivar extents: how far each of those was from its place (section 4.2).
    :ivar user: round-trip times by the clock of this process.
    :ivar kernel: those by the kernel's stamps.
    """

    def __init__(self, timeout: int, room: int = 0, memory: Memory = AMPLE) -> None:
        super().__init__(timeout, room, memory=memory)
        size = self._mask + 1
        self._place = array("q", bytes(8 * size))
        self.user, self.kernel = Times(size, memory), Times(size, memory)
        self._highest = 0  # The latest probe that was answered.
        self._arrivals = 0
        self.reordered = 0
        self.extents = Distribution(memory)

    def begin(self, now: int, wall: int) -> int:
        """
        Note that a probe is about to be sent.
        """
        number = super().begin(now, wall)
        self._place[number & self._mask] = 0
        self.user.begin(number)
        self.kernel.begin(number)
        return number

    def answer(self, number: int, took: int) -> int:
        """
        Note that a reply to a probe came in.
        """
        outcome = super().answer(number, took)
        if outcome in (BACK, LATE):
            self._order(number)
        return outcome

    def _order(self, number: int) -> None:
        """
        See whether a reply came after one to a later probe.

        Of a reply that came in order the place is positive, and negative of the others.
        """
        self._arrivals += 1
        if number > self._highest:
            self._highest = number
            self._place[number & self._mask] = self._arrivals
            return
        self._place[number & self._mask] = -self._arrivals
        self.reordered += 1
        # The first to come of all later probes is the first later one that was in order.
        later = number + 1
        while self._place[later & self._mask] <= 0:
            later += 1
        self.extents.add(self._arrivals - self._place[later & self._mask])
