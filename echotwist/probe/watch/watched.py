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
from echotwist.probe.exchange import Exchange
from echotwist.probe.ledger import NEVER_LEFT, REPORTED, UNANSWERED, sizeFor
from echotwist.probe.payload import Payload
from echotwist.probe.result import best
from echotwist.probe.schedule import SECOND, Schedule
from echotwist.probe.session import Session
from echotwist.probe.watch.file import Entry
from echotwist.probe.watch.histogram import Histogram
from echotwist.probe.watch.located import Located
from echotwist.probe.watch.settings import WatchSettings

#: What to remember of a target: the last 128 probes, and times to within 1.6 %.
LITTLE = Memory(probes=64, exact=0, bits=6, recent=20)

#: What to remember of this host.
_SOME = Memory(exact=0, bits=8)

#: Nanoseconds between the times at which targets may have their turns: when many have theirs
#: together, the process wakes up less often.
GRAIN = SECOND // 20

#: Nanoseconds: targets with such an interval, or a longer one, have turns at no other times.
_SLOW = 10 * GRAIN

#: A connection is renewed after this many losses in a row, and this many timeouts.
_LOSSES, _TIMEOUTS = 3, 3

#: The ``cause`` label of losses, by the state of the probe.
CAUSES = {NEVER_LEFT: "never-left", REPORTED: "reported", UNANSWERED: "unanswered"}


def roomFor(timeout: int, period: float) -> int:
    """
    Return how many probes may be under way, with some to spare.
    """
    return int((timeout + SECOND) / period)


def stampsFor(settings: WatchSettings) -> int:
    """
    Return for how many probes to keep kernel timestamps: all that are remembered.
    """
    return sizeFor(roomFor(round(settings.timeout * SECOND), settings.period), LITTLE)


class Turns(Schedule):
    """
    A schedule whose turns coincide with those of other targets.
    """

    def begin(self, now: int) -> None:
        """
        Start at a time at which other targets have turns.
        """
        super().begin(-(-now // GRAIN) * GRAIN)

    def _next(self) -> int | None:
        at = super()._next()
        return at if at is None or self.interval < _SLOW else -(-at // GRAIN) * GRAIN


class Lateness(Distribution):
    """
    How late probes were sent, for the summary and for metrics.
    """

    def __init__(self) -> None:
        super().__init__(_SOME)
        self._histogram = Histogram()

    @property
    def histogram(self) -> Histogram:
        """
        All values, for metrics.
        """
        if self._values:
            self._sumUp()
        return self._histogram

    def _sumUp(self) -> None:
        self._histogram.extend(self._values)
        super()._sumUp()


class Here:
    """
    Measurements of this host and process, common to all targets.

    :ivar lateness: how late probes were sent.
    :ivar host: the time between this process and the wire.
    """

    def __init__(self) -> None:
        self.lateness = Lateness()
        self.host = Host(_SOME)


class Watched(Session):
    """
    Probe one target without end; see :class:`echotwist.probe.session.Session`.

    :param entry: the target's entry in the file.
    :param transport: carries probes.
    :param share: how much of an interval to wait before the first turn, from 0 to 1.
    :param here: measurements of this host and process, common to all targets.
    :ivar roundTrips: round trips of replies in time, each by the best clock that it has.
    :ivar byUser: how many of them have no kernel timestamp, only this process' clock.
    :ivar lostBy: losses by the state of the probe.  A probe that is answered late stays
        counted: these numbers never fall.
    :ivar repliedAt: nanoseconds of ``CLOCK_REALTIME`` at the latest reply.
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
        The round trips by kernel timestamps; by this process' clock if there are too few.
        """
        return best(self.books.user, self.books.kernel)[0].rtt

    def _scheduleOf(self, entry: Entry) -> Schedule:
        settings = entry.settings
        duration = None if settings.duration is None else settings.duration * SECOND
        phase = self._share * settings.period // GRAIN * GRAIN
        return Turns(settings.period, settings.count, duration, phase)

    def replied(
        self, number: int, data: bytes, arrival: Arrival, expected: bytes | None = None
    ) -> None:
        """
        Note a reply.
        """
        self._silence, self._heardAt, self.repliedAt = 0, arrival.now, arrival.wall
        books = self.books
        late, pending = books.late, books.pending
        # Session.replied would also send due probes: here, none is due before the next turn.
        Exchange.replied(self, number, data, arrival, expected)
        # The timeout was over, but the probe was not counted as lost yet.
        if books.late > late and books.pending < pending:
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
        Open the transport, then start sending.
        """
        self.isStarted = True
        super().start()

    def becomes(self, entry: Entry) -> bool:
        """
        Apply a new entry, if it is of the same target: only the rate, the timeout and the
        conditions may differ.

        :return: whether the entry was applied.
        """
        mine, other = self.entry.settings, entry.settings
        may = {name: getattr(mine, name) for name in ("rate", "interval", "timeout", "failIf")}
        if (entry.target, evolve(other, **may)) != (self.entry.target, mine):
            return False
        timeout = round(other.timeout * SECOND)
        self.books.waitFor(timeout, roomFor(timeout, other.period))
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
        self._sendDue()
        self._expire()
        self._arrange()
        if self._silence >= _LOSSES:
            self._renew(self._now())

    def _arrange(self) -> None:
        self.transport.sentAll()
        at, expiry = self.schedule.at, self.books.expiry
        if expiry is not None:  # Losses of many targets are noted together.
            expiry = (expiry // GRAIN + 1) * GRAIN
            at = expiry if at is None or expiry < at else at
        if at is None:
            super()._arrange()
        else:
            self._alarm.set(at)

    def _renew(self, now: int) -> None:
        """
        Renew the transport if nothing has come back for several timeouts.
        """
        if now - self._heardAt > _TIMEOUTS * self._timeout:
            self._silence, self._heardAt = 0, now
            if not self.finished.called:
                self.transport.renew()
