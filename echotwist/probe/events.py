"""
The events of a probe and its replies.
"""

from __future__ import annotations

from time import monotonic_ns, time_ns
from typing import NamedTuple

from echotwist.probe.distribution import AMPLE, Distribution, Memory
from echotwist.probe.ledger import BACK, LATE, NEVER_LEFT, REPORTED, TWICE, UNANSWERED
from echotwist.probe.payload import Damage

#: The outcomes of a probe, each in a word.
OUTCOMES = {
    BACK: "back",
    LATE: "late",
    TWICE: "twice",
    UNANSWERED: "lost",
    NEVER_LEFT: "lost",
    REPORTED: "lost",
}


class Event(NamedTuple):
    """
    The outcome of a probe, or one more reply to it.

    :param number: the number of the probe.
    :param sentAt: when it was sent, nanoseconds of ``CLOCK_REALTIME``.
    :param outcome: a word of :data:`OUTCOMES`.
    :param rtt: nanoseconds, if it came back.
    :param clock: the clock of ``rtt``: ``kernel`` or ``user``.
    :param stamps: when the kernel queued it, sent it and got the reply, if it says so.
    :param reason: why it was lost.
    :param damage: how the reply differs, if it does.
    """

    number: int
    sentAt: int
    outcome: str
    rtt: int | None = None
    clock: str | None = None
    stamps: tuple[int, int, int] | None = None
    reason: str | None = None
    damage: Damage | None = None


class Arrival(NamedTuple):
    """
    The time when a reply came in, in nanoseconds.

    :param now: by the monotonic clock of this process.
    :param wall: the same by ``CLOCK_REALTIME``.
    :param stamped: when the kernel got it, by ``CLOCK_REALTIME``; 0 if that is not known.
    """

    now: int
    wall: int
    stamped: int = 0


def arrivalNow(stamped: int = 0) -> Arrival:
    """
    Return the present time as that of an arrival.
    """
    return Arrival(monotonic_ns(), time_ns(), stamped)


class Host:
    """
    Where the time between this process and the wire goes, in nanoseconds.

    :ivar send: from the process to where the kernel hands a packet on.
    :ivar queue: of that, from its queue on.
    :ivar receive: from the kernel to the process.
    :ivar ack: from where a packet is handed on until all of it is acknowledged.
    """

    def __init__(self, memory: Memory = AMPLE) -> None:
        self.send, self.queue, self.receive, self.ack = (Distribution(memory) for _ in range(4))
