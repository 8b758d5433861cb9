"""
Targets whose place is looked up, and looked up again while a watch goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from time import monotonic_ns
from typing import Any

from twisted.internet.defer import Deferred

from echotwist.probe.exchange import Exchange
from echotwist.probe.places import Place, ProbeError, find
from echotwist.probe.schedule import SECOND
from echotwist.probe.watch.file import Entry
from echotwist.probe.watch.sharing import Lane

#: Nanoseconds until a name is looked up again that was found, and until one that was
#: not; or until it is tried again to open a socket.
_FOUND, _RETRY = 300 * SECOND, 10 * SECOND

#: How many names are looked up at a time.
_AT_ONCE = 8

#: Takes what was found, or why nothing was.
Found = Callable[[Place | ProbeError], None]


def isNamed(entry: Entry) -> bool:
    """
    Tell whether a target has a name that a server must be asked for.
    """
    host = entry.target.host
    return not (entry.target.path or ":" in host or host[-1:].isdigit())


def placeOf(entry: Entry) -> Place | ProbeError:
    """
    Look up a target.
    """
    try:
        return find(entry.target, entry.settings.way)
    except ProbeError as error:
        return error


class Lookups:
    """
    Look up names in a few threads, for none of which the end of the program waits.

    :param reactor: hears of what they find (``IReactorFromThreads``).
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._asked: SimpleQueue[tuple[Entry, Found]] = SimpleQueue()
        self._threads = 0

    def ask(self, entry: Entry, found: Found) -> None:
        """
        Look up where a target is.

        :param found: is called, at once if that is known without asking anybody.
        """
        if not isNamed(entry):
            found(placeOf(entry))
            return
        self._asked.put((entry, found))
        if self._threads < _AT_ONCE:
            self._threads += 1
            Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            entry, found = self._asked.get()
            self._reactor.callFromThread(found, placeOf(entry))


class Located:
    """
    Carry probes to a target, wherever it is.

    :param ask: looks it up; see :meth:`Lookups.ask`.
    :param carry: opens what carries probes to a place.
    :param told: is called with what keeps probes from being sent, when that is news.
    :ivar place: where it is, if that is known.
    """

    def __init__(
        self,
        ask: Callable[[Found], None],
        carry: Callable[[Place], Any],
        told: Callable[[str], None],
        now: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._ask, self._carry, self._told, self._now = ask, carry, told, now
        self._inner: Any = None
        self._session: Any = None
        self._ready: Deferred[None] | None = None
        self._isAsking = self._mustMove = False
        self._askedAt = 0
        self._dropped = 0  # by sockets that are closed
        self._why = "its address is being looked up"
        self.place: Place | None = None

    # What a session wants

    def start(self, session: Exchange) -> None:
        """
        Look it up.
        """
        self._session = session
        self._seek()

    def ready(self, patience: int) -> Deferred[None]:
        """
        Wait until it is found or not, and a connection is there or not.
        """
        ready: Deferred[None] = Deferred()
        self._ready = ready
        if not self._isAsking:
            self._isReady(patience)
        else:
            self._patience = patience
        return ready

    def stop(self) -> None:
        """
        Read no more.
        """
        self._session = None
        self._drop()

    close = stop

    def send(self, number: int, data: bytes) -> str:
        """
        Send a probe.

        :return: why it never left, or nothing.
        """
        age = self._now() - self._askedAt
        if not self._isAsking and age > (_RETRY if self._inner is None else _FOUND):
            self._seek()
        return self._why if self._inner is None else str(self._inner.send(number, data))

    def renew(self) -> None:
        """
        Hear that nothing came back for long: the target may be elsewhere by now, or the
        connection or the network interface be another one.
        """
        self._mustMove = not isinstance(self._inner, Lane)
        if not self._isAsking:
            self._seek()

    def read(self) -> None:
        """
        Take what has come in.
        """
        if self._inner is not None:
            self._inner.read()

    def sentAll(self) -> None:
        """
        Hear that no more is sent for now.
        """
        if self._inner is not None:
            self._inner.sentAll()

    def leftAt(self, number: int) -> int:
        """
        Tell when a probe left, by the kernel's stamp; 0 if that is not known.
        """
        return 0 if self._inner is None else int(self._inner.leftAt(number))

    def queuedAt(self, number: int) -> int:
        """
        Tell when a probe was queued, by the kernel's stamp; 0 if that is not known.
        """
        return 0 if self._inner is None else int(self._inner.queuedAt(number))

    @property
    def source(self) -> Any:
        """
        Where probes come from, if that is known.
        """
        return None if self._inner is None else self._inner.source

    @property
    def dropped(self) -> int:
        """
        How many packets the kernel had no room for until they would be read.
        """
        return self._dropped + (0 if self._inner is None else int(self._inner.dropped))

    # Where it is

    def _seek(self) -> None:
        self._isAsking, self._askedAt = True, self._now()
        self._ask(self._found)

    def _found(self, found: Place | ProbeError) -> None:
        self._isAsking = False
        if self._session is None:
            return
        if isinstance(found, ProbeError):
            if self._inner is None or self._mustMove:
                self._fail(str(found))
        elif found != self.place or self._inner is None or self._mustMove:
            self.place = found
            self._move(found)
        self._mustMove = False
        if self._ready is not None:
            self._isReady(self._patience)

    def _move(self, place: Place) -> None:
        self._drop()
        try:
            inner = self._carry(place)
        except ProbeError as error:
            self._fail(str(error))
            return
        self._inner, self._why = inner, ""
        inner.start(self._session)

    def _fail(self, why: str) -> None:
        self._drop()
        if why != self._why:
            self._told(why)
        self._why = why

    def _drop(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            self._dropped += inner.dropped
            inner.stop()

    def _isReady(self, patience: int) -> None:
        ready, self._ready = self._ready, None
        if ready is None:
            return
        if self._inner is None:
            ready.callback(None)
        else:
            self._inner.ready(patience).addCallback(ready.callback)
