"""
A simulated bad path of a stream.
"""

from __future__ import annotations

from collections import Counter, deque
from math import inf

from echotwist.impair.chance import Chance
from echotwist.impair.grammar import Effect, Impairments
from echotwist.impair.values import Ending

#: Bytes that leave at once at a rate: a segment of TCP, or so many in a tenth of a second.
SEGMENT, PARTS = 1460, 10


class StreamPath:
    """
    Decide when each byte of an answer leaves, in which pieces, and how the stream ends.

    What happens depends on the seed, on how many connections there were before, and
    on when bytes come, but not on how they are cut into segments on their way here.

    :param impairments: the impairments to apply.
    :param name: the name of the transport.
    :param number: the number of the connection.
    :param counts: the counts of effects, which this class increases.
    :ivar ending: how the stream ends: ``reset``, ``stall``, ``close``, or an empty text.
    :ivar held: how many bytes have not left yet.
    """

    def __init__(
        self, impairments: Impairments, name: str, number: int, counts: Counter[Effect]
    ) -> None:
        self._chosen = impairments
        self._counts = counts
        key = f"{impairments.seed}/{name}/{number}"
        self._chance, self._cuts = Chance(key), Chance(f"{key}/cuts")
        endings = [(self._after(getattr(impairments, name)), name) for name in _ORDER]
        after, ending = min(endings, key=lambda one: one[0])
        self.ending = "" if after == inf else ending
        self._left = after
        self._largest = max(1, int(min(SEGMENT, impairments.rate / 8 / PARTS)))
        if impairments.rate == inf:
            self._largest = 2**30
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._offset = self._untilCut = self.held = 0
        self._free = -inf
        self._piece: tuple[float, bytes] | None = None

    def _after(self, ending: Ending) -> float:
        return ending.after if self._chance.happens(ending.share) else inf

    def admit(self, size: int) -> int:
        """
        Return how many of ``size`` bytes are echoed; the byte after these ends the stream.
        """
        admitted = int(min(size, self._left))
        self._left -= admitted
        return admitted

    @property
    def isOver(self) -> bool:
        """
        Tell whether the stream ends as soon as all admitted bytes have left.
        """
        return not self._left

    def put(self, now: float, data: bytes) -> None:
        """
        Take bytes of the answer.

        :param now: seconds.
        """
        if not data:
            return
        chosen = self._chosen
        delay = max(0.0, chosen.delay + self._chance.deviation(chosen.jitter))
        self._waiting.append((now + delay, data))
        self.held += len(data)
        if delay or chosen.rate < inf:
            self._counts["bytes", "delayed"] += len(data)
        self._cutNext()

    def take(self, now: float) -> bytes:
        """
        Return the next piece, if it leaves by now.
        """
        if self._piece is None or self._piece[0] > now:
            return b""
        piece, self._piece = self._piece[1], None
        self.held -= len(piece)
        self._cutNext()
        return piece

    @property
    def next(self) -> float | None:
        """
        Return when the next piece leaves, if there is one.
        """
        return self._piece[0] if self._piece else None

    def _cutNext(self) -> None:
        if self._piece is not None or not self._waiting:
            return
        ready, data = self._waiting[0]
        end = self._offset + min(self._largest, self._pieceSize(len(data) - self._offset))
        piece = data[self._offset : end]
        self._offset = end
        if end == len(data):
            self._waiting.popleft()
            self._offset = 0
        self._untilCut -= len(piece)
        self._free = max(self._free, ready) + 8 * len(piece) / self._chosen.rate
        self._piece = self._free, piece

    def _pieceSize(self, size: int) -> int:
        """
        Return the size of the next piece of ``size`` bytes: it ends at the next cut.  The places
        of cuts in the stream do not depend on the segments that came.
        """
        if self._chosen.chunk is None:
            return size
        if self._untilCut <= 0:
            self._untilCut = self._cuts.between(*self._chosen.chunk)
            self._counts["pieces", "cut"] += 1
        return min(size, self._untilCut)


#: How a connection may end.
_ORDER = ("reset", "stall", "close")
