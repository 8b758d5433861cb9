"""
Whom a datagram echo answers.

Anybody can write anybody's address on a datagram.  An echo that answers all of
them can be made to shout at a third party, or at another echo, for ever
(CERT CA-1996-01, CVE-2024-2169).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import ip_address, ip_network
from time import monotonic
from typing import Any, Generic, TypeVar

from echotwist.addresses import peerNetwork, unmapped

#: Ports below this belong to services, not to clients (RFC 6335, section 6).
FIRST_CLIENT_PORT = 1024

#: An exchange of the same bytes is ended within so many seconds...
LOOP_SECONDS = 9.0

#: ...and within so many datagrams that come in; as many go out.
LOOP_DATAGRAMS = 9000

#: The same bytes after so many seconds are no loop, but somebody who asks again.
FORGET_SECONDS = 10.0

#: Entries of each half of a table; some 2 MiB.
ENTRIES = 15_000

_NOWHERE = [ip_network("0.0.0.0/8"), ip_network("240.0.0.0/4")]

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


class Guard:
    """
    Decide for each datagram whether it is answered.

    :param ports: those that this service listens on.
    :param rate: replies a second for each source (an IPv4 address, or a /64 of
        IPv6), which may come all at once; 0 for no limit.
    :param answerLowPorts: answer sources below port 1024.
    :param prefix: what the replies begin with.
    :param clock: tells the time in seconds.
    """

    def __init__(
        self,
        ports: Collection[int] = (),
        rate: int = 10_000,
        answerLowPorts: bool = False,
        prefix: bytes = b"",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.ports = frozenset(ports)
        self._firstPort = 1 if answerLowPorts else FIRST_CLIENT_PORT
        self._cost = 1 / rate if rate else 0.0
        self._prefix = prefix
        self._clock = clock
        # When each source will have had all that it may; one that has been
        # silent for a second may have everything again.
        self._busyUntil: Recent[float] = Recent(ENTRIES, 1.0)
        # When the same bytes came from a source first and last, its turn then,
        # and the size of the datagram.
        self._repeated: Recent[tuple[float, float, int, int]] = Recent(ENTRIES, FORGET_SECONDS)
        # How often any bytes came again from a source, in which turn.
        self._repeats: Recent[tuple[int, int]] = Recent(ENTRIES // 4, FORGET_SECONDS)

    def objection(self, source: tuple[Any, ...], toGroup: bool, datagram: bytes) -> str:
        """
        Say why a datagram must not be answered, or nothing.

        :param source: address and port, as ``recvfrom`` gives them.
        :param toGroup: it was sent to a multicast or broadcast address.
        """
        host, port = source[:2]
        if port < self._firstPort:
            return "low source port" if port else "source port 0"
        if port in self.ports:
            return "own port as source"
        if toGroup:
            return "multicast or broadcast"
        kind, peer = _kindOf(host)
        if kind:
            return "" if kind == _LOOPBACK else kind
        now = self._clock()
        if self._tooFast(peer, now):
            return "rate"
        return "loop" if self._loops(source, datagram, now) else ""

    def trusts(self, source: tuple[Any, ...]) -> bool:
        """
        Tell whether a source is answered whatever it sends, except to a group.

        :param source: address and port, as ``recvfrom`` gives them.
        """
        host, port = source[:2]
        known = port >= self._firstPort and port not in self.ports
        return known and _kindOf(host)[0] == _LOOPBACK

    def _tooFast(self, peer: str, now: float) -> bool:
        """
        Count one reply to a peer, if it may have one.
        """
        if not self._cost:
            return False
        busyUntil = max(self._busyUntil.get(peer) or now, now)
        tooFast = busyUntil + self._cost > now + 1 + 1e-6  # which is for rounding
        # Who asks too much is remembered all the more.
        self._busyUntil.put(peer, busyUntil if tooFast else busyUntil + self._cost, now)
        return tooFast

    def _loops(self, source: tuple[Any, ...], datagram: bytes, now: float) -> bool:
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
        if repeats >= LOOP_DATAGRAMS:
            repeats, turn = 0, turn + 1
        self._repeats.put(source, (repeats, turn), now)
        first, last, firstTurn, _ = known
        # The next would come as late again.
        if now - first + (now - last) > LOOP_SECONDS or firstTurn < turn:
            self._repeated.drop(key)
            return True
        self._repeated.put(key, (first, now, firstTurn, size), now)
        return False


_LOOPBACK = "loopback"


@lru_cache(maxsize=4096)
def _kindOf(host: str) -> tuple[str, str]:
    """
    Tell what kind of a source an address is, and whom its rate is counted to.

    :return: a reason to refuse it, or :data:`_LOOPBACK`, or nothing; and the
        address, or the network that one host may choose its addresses from.
    """
    address = ip_address(unmapped(host))
    if address.is_unspecified or any(address in network for network in _NOWHERE):
        return "source is no host", host
    if address.is_multicast:
        return "source is a group", host
    return _LOOPBACK if address.is_loopback else "", peerNetwork(address)
