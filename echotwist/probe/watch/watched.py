"""
One target of a watch: a session that remembers little, and counts for metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from attrs import evolve

from echotwist.probe.distribution import Distribution, Memory
from echotwist.probe.events import Arrival, Event, Host
from echotwist.probe.ledger import NEVER_LEFT, PENDING, REPORTED, UNANSWERED
from echotwist.probe.payload import Payload
from echotwist.probe.result import best
from echotwist.probe.schedule import SECOND, Schedule
from echotwist.probe.session import Session
from echotwist.probe.watch.file import Entry
from echotwist.probe.watch.histogram import Histogram
from echotwist.probe.watch.located import Located

#: What is remembered of a target: the last 128 probes, and of times 1.6 % of each.
LITTLE = Memory(probes=64, exact=0, bits=6, recent=20)

#: Of what is known of this host.
_SOME = Memory(exact=0, bits=8)

#: Nanoseconds between times at which targets have their turns.  The more of them have
#: theirs together, the less often the process wakes up.
GRAIN = SECOND // 50

#: Losses in a row, and timeouts, after which a connection is given up.
_LOSSES, _TIMEOUTS = 3, 3

#: Why probes are lost, by what the books say.
CAUSES = {NEVER_LEFT: "never-left", REPORTED: "reported", UNANSWERED: "unanswered"}


def roomFor(timeout: int, period: float) -> int:
    """
    Tell how many probes may be under way, with some to spare.
    """
    return int((timeout + SECOND) / period)


class Turns(Schedule):
    """
    Turns that are due together with those of others.
    """

    def begin(self, now: int) -> None:
        """
        Start at a time at which others have theirs.
        """
        super().begin(-(-now // GRAIN) * GRAIN)


class Here:
    """
    What this host and this process are like, whatever the target.

    :ivar late: how late probes were sent, for metrics.
    :ivar lateness: the same, for the summary.
    :ivar host: where the time between this process and the wire goes.
    """

    def __init__(self) -> None:
        self.late = Histogram()
        self.lateness = Distribution(_SOME)
        self.host = Host(_SOME)


class Watched(Session):
    """
    Probe one target, for ever; see :class:`echotwist.probe.session.Session`.

    :param entry: what the file says of it.
    :param transport: carries probes.
    :param share: of an interval, until its first turn.
    :param here: what is known of this host and process, for all targets.
    :ivar roundTrips: all that came back in time, by the best clock that each had.
    :ivar byUser: how many of them had this process' clock alone.
    :ivar lostBy: probes that were not answered in time, by what the books say.  One that
        is answered later stays among them: these numbers never fall.
    :ivar repliedAt: when something last came back, nanoseconds of ``CLOCK_REALTIME``.
    """

    transport: Located

    def __init__(
        self,
        entry: Entry,
        transport: Located,
        payload: Payload,
        share: float,
        alarm: Callable[[Callable[[], None]], Any],
        here: Here,
        observe: Callable[[Event], None] | None = None,
        **clocks: Any,
    ) -> None:
        settings = entry.settings
        timeout = round(settings.timeout * SECOND)
        self.entry = entry
        self.roundTrips = Histogram()
        self.lostBy: Counter[int] = Counter()
        self.byUser = 0
        self.repliedAt = 0
        self._here = here
        self._silence = 0
        self._share = share
        self.isStarted = False
        super().__init__(
            transport,
            self._scheduleOf(entry),
            payload,
            timeout,
            roomFor(timeout, settings.period),
            alarm,
            observe,
            memory=LITTLE,
            **clocks,
        )
        self.host, self.lateness = here.host, here.lateness
        self._heardAt = self._now()

    @property
    def rtt(self) -> Distribution:
        """
        The round trips by the kernel's stamps, unless there are too few of them.
        """
        return best(self.books.user, self.books.kernel)[0].rtt

    def _scheduleOf(self, entry: Entry) -> Schedule:
        settings = entry.settings
        duration = None if settings.duration is None else settings.duration * SECOND
        phase = self._share * settings.period // GRAIN * GRAIN
        return Turns(settings.period, settings.count, duration, phase)

    def _send(self, now: int, due: int) -> None:
        self._here.late.add(now - due)
        super()._send(now, due)

    def replied(
        self, number: int, data: bytes, arrival: Arrival, expected: bytes | None = None
    ) -> None:
        """
        Hear that a reply came in.
        """
        self._silence, self._heardAt, self.repliedAt = 0, arrival.now, arrival.wall
        isPending, late = self.books.stateOf(number) == PENDING, self.books.late
        super().replied(number, data, arrival, expected)
        # Its timeout was over, but it was not counted as lost yet.
        if isPending and self.books.late > late:
            self.lostBy[UNANSWERED] += 1

    def _timed(self, number: int, user: int, kernel: int | None) -> None:
        super()._timed(number, user, kernel)
        self.byUser += kernel is None
        self.roundTrips.add(user if kernel is None else kernel)

    def _tell(self, number: int, state: int, reason: str | None = None) -> None:
        self.lostBy[state] += 1
        self._silence += 1
        super()._tell(number, state, reason)

    def start(self) -> None:
        """
        Open the transport, then send.
        """
        self.isStarted = True
        super().start()

    def becomes(self, entry: Entry) -> bool:
        """
        Take what the file says now, if it is still the same target: its rate, its timeout
        and its conditions may be others.

        :return: whether it is.
        """
        mine, other = self.entry.settings, entry.settings
        may = {name: getattr(mine, name) for name in ("rate", "interval", "timeout", "failIf")}
        if (entry.target, evolve(other, **may)) != (self.entry.target, mine):
            return False
        timeout = round(other.timeout * SECOND)
        if not self.books.waitFor(timeout, roomFor(timeout, other.period)):
            return False
        self.entry, self._timeout = entry, timeout
        if other.period != mine.period:
            self._goOn()
        return True

    def _goOn(self) -> None:
        skipped, self.schedule = self.schedule.skipped, self._scheduleOf(self.entry)
        self.schedule.skipped = skipped
        if self.began:
            self.schedule.begin(self._now())
            self.tick()

    def tick(self) -> None:
        """
        Do what is due.
        """
        super().tick()
        now = self._now()
        if self._silence >= _LOSSES and now - self._heardAt > _TIMEOUTS * self._timeout:
            self._silence, self._heardAt = 0, now
            if not self.finished.called:
                self.transport.renew()
