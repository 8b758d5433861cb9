"""
Where in a stream the answers to probes are (pure).

Each is expected at its place.  A service that puts something before an answer, or
leaves something out, moves all that follow: they are found again by their headers.
One that puts something before each line does so within probes, too, as they may have
ends of lines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from echotwist.probe.payload import HEADER, NUMBER, before, lined


class Answers:
    """
    Cut what comes in a stream into answers.

    :param expectedOf: gives the right answer to a probe, by its number.
    """

    def __init__(self, expectedOf: Callable[[int], bytes]) -> None:
        self._expectedOf = expectedOf
        self._awaited: deque[tuple[int, int]] = deque()  # Numbers and sizes.
        self._came = bytearray()
        self._more = 0
        self._put = b""  # before each line

    def __len__(self) -> int:
        """
        Count the answers that are awaited.
        """
        return len(self._awaited)

    def expect(self, number: int, size: int) -> None:
        """
        Note that a probe was sent.
        """
        self._awaited.append((number, size))

    def take(self, data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """
        Take what came next.

        :return: of each answer that is there its number, what it should be, and what it is.
        """
        self._came += data
        while self._awaited and len(self._came) >= self._awaited[0][1] + self._more:
            number, size = self._awaited[0]
            expected = self._expectedOf(number)
            end = size if self._came.startswith(expected) else self._endOf(expected)
            if end > len(self._came):
                self._more = end - size
                return
            self._awaited.popleft()
            self._more = 0
            got = bytes(self._came[:end])
            del self._came[:end]
            yield number, expected, got

    def _endOf(self, expected: bytes) -> int:
        """
        Tell where an answer ends that is not as it should be.
        """
        if end := self._endOfLines(expected):
            return end
        if extra := before(expected, self._came):
            return extra + len(expected)
        if len(self._awaited) > 1:
            following = self._expectedOf(self._awaited[1][0])[:HEADER]
            place = self._came.find(following) if len(following) >= NUMBER else 0
            if place > 0:
                return place
        return len(expected)

    def _endOfLines(self, expected: bytes) -> int:
        """
        Tell where an answer ends that something is put before each line of; 0 if it is not.
        """
        start = expected[:HEADER].partition(b"\n")[0]
        place = self._came.find(start) if len(start) >= NUMBER else 0
        for put in filter(None, (self._put, bytes(self._came[: max(0, place)]))):
            following = lined(expected, put)
            for answer in (following, put + following):
                if answer.startswith(bytes(self._came[: len(answer)])):
                    self._put = put
                    return len(answer)
        return 0

    def rest(self) -> int:
        """
        Drop bytes that are no part of an answer.

        :return: how many there were.
        """
        if self._awaited:
            return 0
        count = len(self._came)
        self._came.clear()
        return count

    def end(self) -> tuple[list[int], bool]:
        """
        Hear that nothing more will come.

        :return: the numbers that were not answered, and whether what has come of an answer
            is not the beginning of the right one.
        """
        numbers = [number for number, _ in self._awaited]
        isOther = bool(numbers) and not self._expectedOf(numbers[0]).startswith(bytes(self._came))
        self._awaited.clear()
        self._came.clear()
        self._more = 0
        return numbers, isOther
