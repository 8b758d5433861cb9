"""
Counters of bytes, datagrams, connections, refusals and errors.
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
    The counters of one transport; streams and datagrams each use a part of them.

    :param transport: the name of the transport: ``TCP``, ``UDP``...
    :ivar connections: connections accepted and served.
    :ivar active: connections open now.
    :ivar receivedBytes: bytes of content received.
    :ivar sentBytes: bytes of content handed to the kernel, or waiting for it.
    :ivar receivedDatagrams: datagrams received, with the refused ones.
    :ivar sentDatagrams: datagrams handed to the kernel.
    :ivar stalled: connections reset because their peer took nothing.
    :ivar idle: connections ended because their peer sent nothing.
    :ivar drained: connections ended because the service stopped.
    :ivar refused: connections and datagrams that were refused, by reason.
    :ivar impaired: the effects of impairments, by unit and effect.
    :ivar errors: system calls that failed, by their purpose and the
        symbol of the error.
    :ivar sources: functions that add the counts kept elsewhere.
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
        Add all counts kept elsewhere; call this before you read the counters.
        """
        for source in self.sources:
            source()
        return self

    def becomeSumOf(self, parts: Sequence[Counters]) -> None:
        """
        Set these counters to the sum of others.
        """
        for name in _SUMMED:
            zero = type(getattr(self, name))()
            setattr(self, name, sum((getattr(part, name) for part in parts), zero))


_SUMMED = [one.name for one in fields(Counters) if one.name not in ("transport", "sources")]


def carriedBy(transport: str) -> str:
    """
    Return the kind that a transport carries, ``datagrams`` or ``streams``, as for impairments.
    """
    return OF_DATAGRAMS if transport in DATAGRAMS else OF_STREAMS


def toLine(counters: Iterable[Counters]) -> bytes:
    """
    Format counters as one line, for :func:`fromLine`.
    """
    told = [asdict(one.settle(), filter=lambda field, _: field.init) for one in counters]
    return repr(told).encode("ascii") + b"\n"


def fromLine(line: bytes) -> list[Counters]:
    """
    Parse the counters in a line from :func:`toLine`.
    """
    return [Counters(**values) for values in literal_eval(line.decode("ascii"))]
