"""
Find the probe that a reply belongs to, even if the reply is damaged (pure).
"""

from __future__ import annotations

from itertools import islice

from echotwist.probe.ledger import Ledger
from echotwist.probe.payload import HEAD, HEADER, NUMBER, Payload, headOf

#: Probes under way, the oldest ones, whose header is compared with that of a reply whose
#: own is damaged; and bytes in which a header is looked for that others stand before.
_COMPARED, _BEFORE = 256, 1024

#: Stands for a reply of which too little is left to tell which one of several probes it
#: belongs to.
AMBIGUOUS = 0


class Attribution:
    """
    Find the probe that a datagram is the reply to, if it is a reply to any.

    :param books: the books of all probes, with the time that each carries.
    :param payload: the payload of the probes.
    """

    def __init__(self, books: Ledger, payload: Payload) -> None:
        self._books = books
        self._payload = payload

    def numberOf(self, data: bytes) -> int | None:
        """
        Find the probe that a datagram answers.

        :return: its number; :data:`AMBIGUOUS`; or ``None``.
        """
        if self._payload.size < NUMBER:
            return self._byOrder(data)
        if len(data) < NUMBER:
            return self._byLowerBytes(data)
        number, sentAt = headOf(data)
        isKnown = self._books.isKnown(number)
        if isKnown and (sentAt == self._books.wallOf(number) or self._isCut(number, data)):
            return number
        if not isKnown and self._payload.isOurs(data):
            return None  # The probe is so old that the books have forgotten it.
        found = None if sentAt is None else self._books.sentWith(sentAt)
        return found or self._behindOthers(data) or self._nearest(number, data)

    def _byOrder(self, data: bytes) -> int | None:
        """
        Find the oldest probe under way that has these bytes, or any: all are too short
        to have a whole number.
        """
        under = list(islice(self._books.underWay(), _COMPARED))
        alike = [one for one in under if one.to_bytes(NUMBER, "little").startswith(data)]
        if alike:
            return alike[0]
        step = 1 << 8 * len(data)
        last = self._books.sent - (self._books.sent - int.from_bytes(data, "little")) % step
        if len(data) == self._payload.size and self._books.isKnown(last):
            return last  # This is one more reply to it.
        return under[0] if under else None

    def _byLowerBytes(self, data: bytes) -> int | None:
        """
        Find the only probe whose number has these lower bytes.
        """
        step = 1 << 8 * len(data)
        first = int.from_bytes(data, "little") or step
        if first > self._books.sent:
            return None
        if first + step <= self._books.sent:
            return AMBIGUOUS
        return first if self._books.isKnown(first) else None

    def _isCut(self, number: int, data: bytes) -> bool:
        """
        Tell whether the part of a header that came is that of a probe.
        """
        return len(data) < HEAD and self._header(number).startswith(data)

    def _behindOthers(self, data: bytes) -> int | None:
        """
        Find a header behind other bytes.
        """
        for start in range(1, min(len(data) - HEAD, _BEFORE) + 1):
            number, sentAt = headOf(data[start : start + HEAD])
            if self._books.isKnown(number) and sentAt == self._books.wallOf(number):
                return number
        return None

    def _nearest(self, number: int, data: bytes) -> int | None:
        """
        Find the probe whose time and check are at another place, or differ in few bits:
        those of two probes differ in about half of theirs, where all of time is there.
        """
        known = [number] if self._books.isKnown(number) else []
        for one in (*known, *islice(self._books.underWay(), _COMPARED)):
            expected, got = self._header(one)[NUMBER:], data[NUMBER:HEADER]
            size = min(len(expected), len(got))
            if size >= HEAD - NUMBER and (
                expected in data or _distance(expected[:size], got[:size]) <= size // 2
            ):
                return one
        return None

    def _header(self, number: int) -> bytes:
        return self._payload.header(number, self._books.wallOf(number))


def _distance(one: bytes, other: bytes) -> int:
    """
    Count the bits that differ.
    """
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).bit_count()
