"""
A reactor that does less for each event: ``twistd --reactor=lean``.

Of what stock Twisted spends on a small message, more than half is not system
calls but the log context that it builds for each event, whether somebody logs
or not.  Here the context is worked out when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from select import EPOLLIN, EPOLLOUT
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger
from twisted.python import context, log
from twisted.python.log import ILogContext

from echotwist.clock import steadyClock

#: Stands for an event that is neither "read" nor "write" alone.
_UNUSUAL = object()

# The loop says what stock Twisted's says, under the same name.
_log = Logger("twisted.internet.base")


class EventContext:
    """
    What :mod:`twisted.python.context` knows while an event is handled: the log
    context, whose ``system`` is the log prefix of who handles it.

    :param outer: the log context around it.
    :ivar owner: who handles the event at hand (``ILoggingContext``).
    """

    __slots__ = ("_outer", "owner")

    def __init__(self, outer: Mapping[str, Any]) -> None:
        self._outer = outer
        self.owner: Any = None

    def __getitem__(self, key: object) -> dict[str, Any]:
        """
        Work out the log context.

        :raise KeyError: for whatever else is asked for.
        """
        if key is not ILogContext:
            raise KeyError(key)
        try:
            prefix = self.owner.logPrefix()
        except Exception:
            prefix = "(buggy logPrefix method)"
        return {**self._outer, "system": prefix}


class Contexts(list[Any]):
    """
    The contexts of a thread, which Twisted reads from the last to the first.

    A thread pool asks for the last one, to keep it while the reactor goes on: it
    gets what the event's context says now.
    """

    def __getitem__(self, index: Any) -> Any:
        """
        Give one that may be kept.
        """
        found = super().__getitem__(index)
        return {ILogContext: found[ILogContext]} if isinstance(found, EventContext) else found


class LeanReactor(EPollReactor):
    """
    An ``EPollReactor`` with a shorter way from the kernel to who handles an event,
    whose timed calls come when they should, also when somebody sets the time.
    """

    seconds = staticmethod(steadyClock())

    def doPoll(self, timeout: float | None) -> None:
        """
        Wait for events, and have them handled.

        :param timeout: seconds to wait at most; ``None`` for ever.
        """
        self._serve(timeout, True)

    doIteration = doPoll

    def mainLoop(self) -> None:
        """
        Run until stopped.
        """
        while self._started:
            with _log.failuresHandled("Unexpected error in main loop."):
                self.runUntilCurrent()
                self._serve(self.running and self.timeout(), False)
        _log.info("Main loop terminated.")

    def _serve(self, timeout: float | None, once: bool) -> None:
        """
        Have events handled as ``_doReadOrWrite`` would, the usual ones here,
        until something else is to be done.
        """
        poll, selectables = self._poller.poll, self._selectables
        tracker = context.theContextTracker.currentContext()
        if not isinstance(tracker.contexts, Contexts):
            tracker.contexts = Contexts(tracker.contexts)
        contexts, current = tracker.contexts, EventContext(context.get(ILogContext))
        while True:
            events = poll(timeout, len(selectables))
            contexts.append(current)
            try:
                for fd, event in events:
                    selectable = selectables.get(fd)
                    if selectable is None:
                        continue
                    current.owner = selectable
                    try:
                        if event == EPOLLIN and selectable.fileno() != -1:
                            why = selectable.doRead()
                        elif event == EPOLLOUT and selectable.fileno() != -1:
                            why = selectable.doWrite()
                        else:
                            why = _UNUSUAL
                    except BaseException as error:
                        why, event = error, 0  # raised, it is no end of what comes in
                        log.err()
                    if why:
                        self._settle(selectable, fd, event, why)
            finally:
                contexts.pop()
            if once or self._newTimedCalls or self.threadCallQueue:
                return
            if self._justStopped or not self.running:
                return
            timeout = self.timeout()
            if timeout == 0:
                return

    def _settle(self, selectable: Any, fd: int, event: int, why: Any) -> None:
        try:
            if why is _UNUSUAL:
                self._doReadOrWrite(selectable, fd, event)
            else:
                self._disconnectSelectable(selectable, why, event == EPOLLIN)
        except KeyboardInterrupt:
            raise
        except BaseException:
            log.err()


def install() -> None:
    """
    Install this reactor as the global one.
    """
    installReactor(LeanReactor())
