"""
A reactor that does less for each event: ``twistd --reactor=lean``.

Of what stock Twisted spends on a small message, more than half is not system
calls but the log context that it builds for each event, whether somebody logs
or not.  Here a context serves as long as the same one has events, and what it
says is worked out when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from select import EPOLLIN, EPOLLOUT
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger
from twisted.python import context, log
from twisted.python.log import ILogContext

#: Seconds that epoll_wait(2) can wait: it takes milliseconds, as a C int.
_LONGEST_S = 2147483

#: Stands for an event that is neither "read" nor "write" alone.
_UNUSUAL = object()

_log = Logger()


class LogContext(Mapping[str, Any]):
    """
    The log context of an event, whose ``system`` is the log prefix of who
    handles it.

    It never changes its owner: a thread goes on in the context of the event that
    started it.

    :param outer: what the context says but for that.
    :param owner: who handles the event (``ILoggingContext``).
    """

    __slots__ = ("_outer", "_owner")

    def __init__(self, outer: Mapping[str, Any], owner: Any) -> None:
        self._outer = outer
        self._owner = owner

    def copy(self) -> dict[str, Any]:
        """
        Work out all that the context says.
        """
        try:
            prefix = self._owner.logPrefix()
        except Exception:
            prefix = "(buggy logPrefix method)"
        return {**self._outer, "system": prefix}

    def __getitem__(self, key: str) -> Any:
        """
        Give one thing that it says.
        """
        return self.copy()[key]

    def __iter__(self) -> Iterator[str]:
        """
        Give the names of all that it says.
        """
        return iter(self.copy())

    def __len__(self) -> int:
        """
        Count what it says.
        """
        return len(self.copy())


class LeanReactor(EPollReactor):
    """
    An ``EPollReactor`` with a shorter way from the kernel to who handles an event.
    """

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
        Have events handled, as ``_doReadOrWrite`` would and the usual ones
        here, until something else is to be done.
        """
        poll, selectables = self._poller.poll, self._selectables
        contexts = context.theContextTracker.currentContext().contexts
        around, outer = contexts[-1], context.get(ILogContext)
        contexts.append(around)
        owner: Any = None
        try:
            while True:
                for fd, event in poll(timeout, len(selectables)):
                    selectable = selectables.get(fd)
                    if selectable is None:
                        continue
                    if selectable is not owner:
                        owner = selectable
                        contexts[-1] = {**around, ILogContext: LogContext(outer, owner)}
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
                if once or self._newTimedCalls or self.threadCallQueue:
                    return
                if self._justStopped or not self.running:
                    return
                if self._pendingTimedCalls:
                    timeout = self._pendingTimedCalls[0].time - self.seconds()
                    if timeout <= 0:
                        return
                    if timeout > _LONGEST_S:
                        timeout = _LONGEST_S
        finally:
            contexts.pop()

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
