"""
What happened, as numbers.
"""

from __future__ import annotations

from ast import literal_eval
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from attrs import asdict, define, field, fields
from attrs.setters import NO_OP

from echotwist.impair.grammar import OF_DATAGRAMS, OF_STREAMS

#: The transports that carry datagrams; all others, those of plugins too, carry streams.
DATAGRAMS = frozenset({"UDP", "UNIX datagram", "raw"})


# The numbers grow with each message: checks of their types would cost more than that.
@define(eq=False, on_setattr=NO_OP)
class Counters:
    """
    The numbers of one transport; streams and datagrams each use their part.

    :param transport: its name: ``TCP``, ``UDP``...
    :ivar connections: accepted and served.
    :ivar active: connections there are now.
    :ivar receivedBytes: of content.
    :ivar sentBytes: of content; handed to the kernel or waiting for it.
    :ivar receivedDatagrams: with those that were refused.
    :ivar sentDatagrams: handed to the kernel.
    :ivar stalled: connections reset because their peer took nothing.
    :ivar idle: connections ended because their peer sent nothing.
    :ivar drained: connections ended because the service stopped.
    :ivar refused: connections and datagrams that were refused, by reason.
    :ivar impaired: what was done wrong on purpose, by what is counted and the effect.
    :ivar errors: system calls that failed, by what they were for and the
        symbol of the error.
    :ivar sources: functions that add what was counted elsewhere.
    """

    transport: str = ""
    connections: int = 0
    active: int = 0
    receivedBytes: int = 0
    sentBytes: int = 0
    receivedDatagrams: int = 0
    sentDatagrams: int = 0
    stalled: int = 0
    idle: int = 0
    drained: int = 0
    refused: Counter[str] = field(factory=Counter, converter=Counter)
    impaired: Counter[tuple[str, str]] = field(factory=Counter, converter=Counter)
    errors: Counter[tuple[str, str]] = field(factory=Counter, converter=Counter)
    sources: list[Callable[[], object]] = field(factory=list, init=False, repr=False)

    def settle(self) -> Counters:
        """
        Add all that was counted elsewhere; call this before you read.
        """
        for source in self.sources:
            source()
        return self

    def becomeSumOf(self, parts: Sequence[Counters]) -> None:
        """
        Take the sum of others.
        """
        for name in _SUMMED:
            zero = type(getattr(self, name))()
            setattr(self, name, sum((getattr(part, name) for part in parts), zero))


_SUMMED = [one.name for one in fields(Counters) if one.name not in ("transport", "sources")]


def carriedBy(transport: str) -> str:
    """
    Tell what a transport carries, as impairments call it.
    """
    return OF_DATAGRAMS if transport in DATAGRAMS else OF_STREAMS


def toLine(counters: Iterable[Counters]) -> bytes:
    """
    Write counters as one line, for :func:`fromLine`.
    """
    told = [asdict(one.settle(), filter=lambda field, _: field.init) for one in counters]
    return repr(told).encode("ascii") + b"\n"


def fromLine(line: bytes) -> list[Counters]:
    """
    Read counters from what :func:`toLine` wrote.
    """
    return [Counters(**values) for values in literal_eval(line.decode("ascii"))]
