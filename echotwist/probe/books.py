"""
Keep the outcome, order and round-trip time of each probe (pure).

With the arrays of a ledger this takes 57 bytes for each remembered probe.
"""

from __future__ import annotations

from array import array

from echotwist.probe.distribution import AMPLE, Distribution, Memory
from echotwist.probe.ledger import BACK, LATE, Ledger
from echotwist.probe.tally import Times


class Books(Ledger):
    """
    A ledger that also keeps the order and round-trip time of each probe's reply.

    :ivar reordered: replies that came after one to a later probe (RFC 4737, section 3.3).
    :ivar extents: how far each of those was from its place (section 4.2).
    :ivar user: round-trip times by the clock of this process.
    :ivar kernel: round-trip times by the kernel's time stamps.
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
        return number

    def _grow(self, times: int) -> None:
        super()._grow(times)
        self._place *= times
        self.user.grow(times)
        self.kernel.grow(times)

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
        Check whether a reply came after one to a later probe.

        The place of a reply in order is positive; that of any other reply is negative.
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
