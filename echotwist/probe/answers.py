"""
Find the answers to probes in a stream (pure).

Each answer is expected at its place.  A service that adds bytes before an answer, or
leaves bytes out, moves all answers that follow: they are found again by their headers.
A service that puts a prefix before each line does so within probes, too, as they may
contain newlines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from echotwist.probe.payload import HEADER, NUMBER, before, lined


class Answers:
    """
    Split the bytes of a stream into answers.

    :param expectedOf: returns the right answer to a probe, by its number.
    """

    def __init__(self, expectedOf: Callable[[int], bytes]) -> None:
        self._expectedOf = expectedOf
        self._awaited: deque[tuple[int, int]] = deque()  # Numbers and sizes.
        self._came = bytearray()
        self._more = 0
        self._put = b""  # before each line

    def __len__(self) -> int:
        """
        Return how many answers are still expected.
        """
        return len(self._awaited)

    def expect(self, number: int, size: int) -> None:
        """
        Note that a probe was sent.
        """
        self._awaited.append((number, size))

    def take(self, data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """
        Take the next bytes of the stream.

        :return: for each complete answer its number, the right bytes, and the bytes that came.
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
        Find the end of a wrong answer.
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
        Find the end of an answer with a prefix before each line; 0 if it is not such an answer.
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
        Drop bytes that belong to no answer.

        :return: how many there were.
        """
        if self._awaited:
            return 0
        count = len(self._came)
        self._came.clear()
        return count

    def end(self) -> tuple[list[int], bool]:
        """
        Note the end of the stream.

        :return: the numbers without an answer, and whether the bytes of an incomplete answer
            differ from the beginning of the right one.
        """
        numbers = [number for number, _ in self._awaited]
        isOther = bool(numbers) and not self._expectedOf(numbers[0]).startswith(bytes(self._came))
        self._awaited.clear()
        self._came.clear()
        self._more = 0
        return numbers, isOther
