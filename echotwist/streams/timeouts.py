"""
Somebody who looks from time to time, and rests while there is nobody to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

from echotwist.streams.limits import LOOKS, Patience

#: Seconds until the first look: who is all right by then need not wake us again.
FIRST_LOOK = 0.25

Watched = TypeVar("Watched", bound=Hashable)


class Overseer(Generic[Watched]):
    """
    End those who have stood still for too long.

    It wakes the process only while there is somebody to watch.

    :param seconds: how long is too long; 0 for never.
    :param marks: gives who is watched now, each with how far they have come.
    :param end: ends one of them.
    :param reactor: tells the time and calls later (``IReactorTime``).
    :param anybody: tells whether to look again.
    """

    def __init__(
        self,
        seconds: float,
        marks: Callable[[], Mapping[Watched, int]],
        end: Callable[[Watched], object],
        reactor: Any,
        anybody: Callable[[], bool],
    ) -> None:
        self._patience: Patience[Watched] = Patience(seconds, reactor.seconds)
        self._marks = marks
        self._end = end
        self._reactor = reactor
        self._anybody = anybody
        self._pause = seconds / LOOKS
        self._next: Any = None

    def wake(self) -> None:
        """
        Hear that there is somebody to watch.
        """
        if self._patience.seconds and self._next is None:
            self._next = self._reactor.callLater(min(FIRST_LOOK, self._pause), self._look)

    def rest(self) -> None:
        """
        Look no more, until woken again.
        """
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def forget(self, one: Watched) -> None:
        """
        Let go of somebody who is gone, with all that hangs on them.
        """
        self._patience.forget(one)

    def _look(self) -> None:
        self._next = None
        try:
            for one in self._patience.lost(self._marks()):
                self._end(one)
        finally:
            # A call that is made and taken back would wake some reactors all the same.
            if self._next is None and self._anybody():
                self._next = self._reactor.callLater(self._pause, self._look)
