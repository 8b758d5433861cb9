"""
Look up the address of a target, again and again while it is watched.
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
from echotwist.reactors import IReactor

#: Nanoseconds from one lookup of a name to the next, if the name was found; if it was not,
#: or a socket could not be opened.
_FOUND, _RETRY = 300 * SECOND, 10 * SECOND

#: How many lookups run at the same time.
_AT_ONCE = 8

#: A callback for the address, or for the error of a lookup.
Found = Callable[[Place | ProbeError], None]


def isNamed(entry: Entry) -> bool:
    """
    Tell whether a target has a name that must be looked up.
    """
    host = entry.target.host
    return not (entry.target.path or ":" in host or host[-1:].isdigit())


def placeOf(entry: Entry) -> Place | ProbeError:
    """
    Look up the address of a target.
    """
    try:
        return find(entry.target, entry.settings.way)
    except ProbeError as error:
        return error


class Lookups:
    """
    Look up names in threads, which do not keep the process from ending.

    :param reactor: calls back in its own thread (``IReactorFromThreads``).
    """

    def __init__(self, reactor: IReactor) -> None:
        self._reactor = reactor
        self._asked: SimpleQueue[tuple[Entry, Found]] = SimpleQueue()
        self._threads = 0

    def ask(self, entry: Entry, found: Found) -> None:
        """
        Look up the address of a target.

        :param found: called with the result; at once if no lookup is needed.
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


class Nowhere:
    """
    Stand for a transport where there is none.
    """

    source = None
    dropped = 0

    def read(self) -> None:
        """
        Do nothing: there is no socket.
        """

    def sentAll(self) -> None:
        """
        Do nothing: there is no socket.
        """

    def leftAt(self, number: int) -> int:
        """
        Return 0: no probe leaves.
        """
        return 0

    queuedAt = leftAt


class Located:
    """
    Carry probes to a target at its present address.

    :param ask: looks up the address; see :meth:`Lookups.ask`.
    :param carry: opens a transport to an address.
    :param told: called with the error that keeps probes from being sent, when it changes.
    :ivar place: the present address; ``None`` if unknown.
    :ivar read: the method of the present transport, as are the next three: calls through
        one of our own would be a part of what a probe costs.
    """

    read: Callable[[], None]
    sentAll: Callable[[], None]
    leftAt: Callable[[int], int]
    queuedAt: Callable[[int], int]

    def __init__(
        self,
        ask: Callable[[Found], None],
        carry: Callable[[Place], Any],
        told: Callable[[str], None],
        now: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._ask, self._carry, self._told, self._now = ask, carry, told, now
        self._use(None)
        self._session: Any = None
        self._ready: Deferred[None] | None = None
        self._isAsking = self._mustMove = False
        self._askedAt = 0
        self._dropped = 0  # Of transports that are closed.
        self._why = "its address is being looked up"
        self.place: Place | None = None

    # The transport of a session

    def start(self, session: Exchange) -> None:
        """
        Look up the address.
        """
        self._session = session
        self._seek()

    def ready(self, patience: int) -> Deferred[None]:
        """
        Wait until the lookup has ended and the transport is open, or either has failed.
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
        Stop, and close the transport.
        """
        self._session = None
        self._drop()

    close = stop

    def send(self, number: int, data: bytes) -> str:
        """
        Send a probe.

        :return: why it never left; empty if it left.
        """
        age = self._now() - self._askedAt
        if age > (_RETRY if self._inner is None else _FOUND) and not self._isAsking:
            self._seek()
        return self._why if self._inner is None else self._inner.send(number, data)

    def renew(self) -> None:
        """
        Look up the address again, and open a new transport: nothing has come back for long, so
        the address, the connection or the network interface may have changed.
        """
        self._mustMove = not isinstance(self._inner, Lane)
        if not self._isAsking:
            self._seek()

    @property
    def source(self) -> Any:
        """
        The source address of probes; ``None`` if unknown.
        """
        return None if self._inner is None else self._inner.source

    @property
    def dropped(self) -> int:
        """
        How many received packets the kernel dropped for lack of room.
        """
        return self._dropped + (0 if self._inner is None else int(self._inner.dropped))

    def _use(self, inner: Any) -> None:
        self._inner = inner
        used = Nowhere() if inner is None else inner
        self.read, self.sentAll = used.read, used.sentAll
        self.leftAt, self.queuedAt = used.leftAt, used.queuedAt

    # The address

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
        self._use(inner)
        self._why = ""
        inner.start(self._session)

    def _fail(self, why: str) -> None:
        self._drop()
        if why != self._why:
            self._told(why)
        self._why = why

    def _drop(self) -> None:
        inner = self._inner
        self._use(None)
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
