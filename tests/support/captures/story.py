"""
What the packets of a capture mean: which were lost and sent again, which windows close,
and the states that TCP goes through (RFC 9293, section 3.3.2).

The capture is from the end of the host that loses nothing.  It is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tests.support.captures.packets import Packet

#: So many packets in a row that only carry bytes and acknowledge them are one step.
_MANY = 7

#: Captures of more packets are compared in part.
_SEVERAL = 50

#: What a retransmission does not repeat by chance: the sender's address and its numbers.
_Key = tuple[str, int, int]


@dataclass(frozen=True)
class Step:
    """
    One arrow of a diagram.

    :param packet: that it stands for; the first of several.
    :param states: those in which sender and receiver are after it, where they change.
    :param mark: ``lost``, ``again``, ``full`` (a window of 0), ``open`` (no longer),
        ``probe`` (of a window), ``many``, or nothing.
    :param count: packets that it stands for.
    :param size: bytes that they carried.
    """

    packet: Packet
    states: tuple[str, str] = ("", "")
    mark: str = ""
    count: int = 1
    size: int = 0

    @property
    def isPlain(self) -> bool:
        """
        Whether it only carries bytes or acknowledges some.
        """
        isTCP = self.packet.kind == "TCP" and self.packet.flags <= {"ACK", "PSH"}
        return isTCP and not self.mark and self.states == ("", "")


def told(packets: Sequence[Packet]) -> list[Step]:
    """
    Make the steps of a diagram.
    """
    states = States()
    marks = marked(packets)
    steps = [
        Step(one, states.after(one) if mark != "lost" else ("", ""), mark, 1, one.size)
        for one, mark in zip(packets, marks, strict=True)
    ]
    return list(_shortened(steps))


def marked(packets: Sequence[Packet]) -> list[str]:
    """
    Find what is lost and sent again, and windows that close and open.
    """
    marks = [""] * len(packets)
    sent: dict[_Key, int] = {}
    next_: dict[str, int] = {}
    isFull: dict[str, bool] = {}
    for number, one in enumerate(packets):
        if one.kind != "TCP" or "RST" in one.flags:
            continue
        if one.end == one.seq < next_.get(one.source, 0):
            marks[number] = "probe"
        elif one.end > one.seq and (key := (one.source, one.seq, one.end)) in sent:
            marks[sent[key]], marks[number] = "lost", "again"
        elif one.window == 0 and not isFull.get(one.source):
            marks[number] = "full"
        elif one.window and isFull.get(one.source):
            marks[number] = "open"
        isFull[one.source] = one.window == 0
        next_[one.source] = max(one.end, next_.get(one.source, 0))
        if one.end > one.seq:
            sent[(one.source, one.seq, one.end)] = number
    return marks


class States:
    """
    The states of both ends of a connection, as far as packets tell them.
    """

    def __init__(self) -> None:
        self._now: dict[str, str] = {}
        #: The sequence numbers after the FIN of each.
        self._ends: dict[str, int] = {}

    def after(self, packet: Packet) -> tuple[str, str]:
        """
        Return the new states of the sender and of the receiver, where they change.
        """
        if packet.kind != "TCP":
            return "", ""
        if "FIN" in packet.flags:
            self._ends[packet.source] = packet.end
        pair = packet.source, packet.target
        old = self._now.get(pair[0], ""), self._now.get(pair[1], "")
        isEndKnown = packet.ack >= self._ends.get(packet.target, packet.ack + 1)
        new = _next(packet.flags, *old, isEndKnown)
        self._now.update(zip(pair, new, strict=True))
        return new[0] * (new[0] != old[0]), new[1] * (new[1] != old[1])


def _next(flags: frozenset[str], sender: str, receiver: str, isEndKnown: bool) -> tuple[str, str]:
    if "RST" in flags:
        return "CLOSED", "CLOSED"
    if "SYN" in flags:
        return ("SYN_RCVD", "ESTABLISHED") if "ACK" in flags else ("SYN_SENT", receiver)
    if "FIN" in flags and sender == "ESTABLISHED":
        return "FIN_WAIT_1", "CLOSE_WAIT"
    if "FIN" in flags:
        return "LAST_ACK", "TIME_WAIT" if isEndKnown else "CLOSING"
    if receiver == "SYN_RCVD":
        return sender, "ESTABLISHED"
    acknowledged = {"FIN_WAIT_1": "FIN_WAIT_2", "LAST_ACK": "CLOSED"} if isEndKnown else {}
    return sender, acknowledged.get(receiver, receiver)


def _shortened(steps: Sequence[Step]) -> Iterable[Step]:
    run: list[Step] = []
    for step in steps:
        if step.isPlain:
            run.append(step)
            continue
        yield from _merged(run)
        run = []
        yield step
    yield from _merged(run)


def _merged(run: Sequence[Step]) -> Iterable[Step]:
    if len(run) < _MANY:
        return run
    merged: dict[str, Step] = {}
    for step in run:
        if step.size:
            known = merged.get(step.packet.source, replace(step, mark="many", count=0, size=0))
            merged[step.packet.source] = replace(
                known, count=known.count + 1, size=known.size + step.size
            )
    return [one if one.count > 1 else replace(one, mark="") for one in merged.values()]


def shape(packets: Sequence[Packet]) -> list[tuple[object, ...]]:
    """
    Return what is the same whenever a capture is made again: directions, flags, lengths and
    their order, but not what only acknowledges, as that depends on timing.

    Of many packets it is the order in which each kind first comes, as how many segments
    fill a buffer depends on timing too.
    """
    [first, *_] = packets
    found: list[tuple[object, ...]] = []
    for one, mark in zip(packets, marked(packets), strict=True):
        way = "to" if one.sender == first.sender else "from"
        flags = one.flags - {"ACK", "PSH"}
        if len(packets) > _SEVERAL:
            known = mark if mark in ("full", "open") else ""
            found.append((way, known or "".join(flags) or "bytes" * (one.size > 0)))
        elif flags or one.size or one.kind != "TCP":
            found.append((way, one.kind, flags, one.size, one.about, mark))
    return [one for one in dict.fromkeys(found) if one[1]] if len(packets) > _SEVERAL else found
