"""
How datagrams are found that go round and round between two echo services.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

#: An exchange of the same bytes is ended within so many seconds...
LOOP_SECONDS = 9.0

#: ...and within so many datagrams that come in; as many go out.
LOOP_DATAGRAMS = 9000

#: The same on one machine, where no datagram is lost and none comes late: in a
#: second or two.
LOCAL_LOOP_DATAGRAMS = 100_000

#: The same bytes after so many seconds are no loop, but somebody who asks again.
FORGET_SECONDS = 10.0

#: Entries of each half of a table; some 2 MiB.
ENTRIES = 15_000

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """
    A table that forgets what has not been touched for a while.

    It has two halves.  When the newer one is full or old, it becomes the
    older one, and what was in that is forgotten.  What is touched again and
    again is never forgotten, however much else comes by.

    :param size: of each half.
    :param seconds: after which what was not touched may be forgotten.
    """

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._turned = 0.0
        self._new: dict[object, Value] = {}
        self._old: dict[object, Value] = {}

    def get(self, key: object) -> Value | None:
        """
        Give what is known, if anything.
        """
        value = self._new.get(key)
        return self._old.get(key) if value is None else value

    def put(self, key: object, value: Value, now: float) -> None:
        """
        Remember something.
        """
        if len(self._new) >= self._size or now - self._turned >= self._seconds:
            self._turned = now
            self._old, self._new = self._new, {}
        self._new[key] = value

    def drop(self, key: object) -> None:
        """
        Forget something.
        """
        self._new.pop(key, None)
        self._old.pop(key, None)


class Loops:
    """
    Find datagrams that go round between two echo services.

    :param prefix: what the replies begin with.
    :param most: datagrams that may go round.
    :param seconds: for which they may.
    """

    def __init__(
        self, prefix: bytes = b"", most: int = LOOP_DATAGRAMS, seconds: float = LOOP_SECONDS
    ) -> None:
        self._prefix = prefix
        self._most = most
        self._seconds = seconds
        # When the same bytes came from a source first and last, its turn then,
        # and the size of the datagram.
        self._repeated: Recent[tuple[float, float, int, int]] = Recent(ENTRIES, FORGET_SECONDS)
        # How often any bytes came again from a source, in which turn.
        self._repeats: Recent[tuple[int, int]] = Recent(ENTRIES // 4, FORGET_SECONDS)

    def end(self, source: Any, datagram: bytes, now: float) -> bool:
        """
        Leave one of the same bytes unanswered, now and then: that ends a loop.
        """
        # A reply of ours that comes back has our prefix, with that of the
        # other echo before it; what follows is what went round before.
        payload = datagram
        if self._prefix and self._prefix in datagram:
            payload = datagram.rpartition(self._prefix)[2]
        # Hashes of 64 bits, keyed by a secret (PEP 456), stand for the bytes.
        key = hash((source, payload))
        size = len(datagram)
        known = self._repeated.get(key)
        repeats, turn = self._repeats.get(source) or (0, 0)
        # Our prefix in it makes it no reply of ours, if it does not grow.
        other = known is not None and payload is not datagram and size <= known[3]
        if known is None or other or now - known[1] >= FORGET_SECONDS:
            self._repeated.put(key, (now, now, turn, size), now)
            return False
        # Several may go round at once: when they have had their number
        # together, each is left unanswered once.
        repeats += 1
        if repeats >= self._most:
            repeats, turn = 0, turn + 1
        self._repeats.put(source, (repeats, turn), now)
        first, last, firstTurn, _ = known
        # The next would come as late again.
        if now - first + (now - last) > self._seconds or firstTurn < turn:
            self._repeated.drop(key)
            return True
        self._repeated.put(key, (first, now, firstTurn, size), now)
        return False
