"""
A reactor that does less for each event: ``twistd --reactor=lean``.

Of the time that stock Twisted spends on a small message, more than half is not system
calls but the log context that it builds for each event, logged or not.  This reactor
makes the context only when code asks for it; and a reader may register a plain
function here that handles its usual event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop
from math import ceil
from select import EPOLLIN, EPOLLOUT
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger
from twisted.python import context, log
from twisted.python.log import ILogContext

from echotwist.fast import compiled
from echotwist.fast.contexts import Contexts, EventContext
from echotwist.fast.late import LateReaders
from echotwist.reactors import steadyClock

#: Stands for an event that is not just "read" or just "write".
_UNUSUAL = object()

_EITHER = EPOLLIN | EPOLLOUT

#: The most seconds that epoll_wait(2) can wait: as many milliseconds as fit into an int.
LONGEST_S = 2_147_483

# This loop logs under the same name as the one of stock Twisted.
_log = Logger("twisted.internet.base")


class LeanReactor(EPollReactor):
    """
    An ``EPollReactor`` with a shorter way from the kernel to the handler of an event.
    Its timed calls come on time, also when the time of the system is set.

    :ivar late: the readers that are made only when they are needed.
    """

    seconds = staticmethod(steadyClock())

    def __init__(self) -> None:
        self._usual: dict[int, Callable[[int], Any]] = {}
        self.late = LateReaders()
        super().__init__()

    def addUsual(self, reader: Any, function: Callable[[int], Any]) -> None:
        """
        Register a function for the usual event: something has come in, and nothing else.

        The reactor calls it with the descriptor, and without a log context.  ``None`` means
        that the event is handled; a tuple has the arguments of ``reader.doUnusual``, which
        then does the rest as ``doRead`` would.  The reactor drops the function as soon as
        the descriptor is watched for anything else, or not at all.

        :param reader: a reader that is watched already (``addReader``), and is no writer.
        """
        fd = reader.fileno()
        if fd in self._reads and fd not in self._writes and self._selectables[fd] is reader:
            self._usual[fd] = function

    def removeUsual(self, reader: Any) -> None:
        """
        Let the reader itself handle each event again.
        """
        fd = reader.fileno()
        if fd == -1:  # The descriptor is closed already.
            fd = next((fd for fd in self._usual if self._selectables.get(fd) is reader), fd)
        if self._selectables.get(fd) is reader:  # One made late keeps it, to the end.
            self._usual.pop(fd, None)

    def addUsualReader(self, fd: int, function: Callable[[int], Any]) -> None:
        """
        Watch the new descriptor of a reader that is made late, and register the function for
        its usual event.

        :raise OSError: the descriptor cannot be watched.
        """
        self._poller.register(fd, EPOLLIN)
        self._usual[fd] = function

    def tables(self) -> tuple[dict[int, Callable[[int], Any]], int]:
        """
        Return the functions for usual events, and the descriptor of epoll(7), for C code that
        does the same as :meth:`addUsualReader`.
        """
        return self._usual, self._poller.fileno()

    def forget(self, fd: int, isWatched: bool) -> None:
        """
        Forget the descriptor of a reader that is made late.

        :param isWatched: tell the kernel too.  If no other process has the descriptor, its
            close does that without another system call.
        """
        del self._usual[fd]
        if isWatched:
            self._poller.unregister(fd)

    def adopt(self, fd: int) -> None:
        """
        Prepare the descriptor of a reader that is made late for an ordinary one, which must
        come next: :meth:`replaceReader`.
        """
        del self._usual[fd]
        self._reads.add(fd)

    def replaceReader(self, reader: Any) -> None:
        """
        Give the events of a descriptor to another object.
        """
        self._selectables[reader.fileno()] = reader

    def getReaders(self) -> list[Any]:
        """
        Return all readers.
        """
        return [*super().getReaders(), *self.late.all()]

    def removeAll(self) -> list[Any]:
        """
        Stop watching all readers and writers, and return them.
        """
        return [*super().removeAll(), *self.late.all()]

    def addReader(self, reader: Any) -> None:
        """
        Watch a reader for input.
        """
        self._usual.pop(reader.fileno(), None)
        super().addReader(reader)

    def addWriter(self, writer: Any) -> None:
        """
        Watch a writer for room to write.
        """
        self._usual.pop(writer.fileno(), None)
        super().addWriter(writer)

    def removeReader(self, reader: Any) -> None:
        """
        Stop watching a reader.
        """
        if self._usual:
            self.removeUsual(reader)
        super().removeReader(reader)

    def doPoll(self, timeout: float | None) -> None:
        """
        Wait for events, and handle them.

        :param timeout: seconds to wait at most; ``None`` for ever.
        """
        self._serve(timeout, self._handler(), True)

    doIteration = doPoll

    def mainLoop(self) -> None:
        """
        Run until stopped.
        """
        handle = self._handler()
        while self._started:
            with _log.failuresHandled("Unexpected error in main loop."):
                self.runUntilCurrent()
                self._serve(self.running and self.timeout(), handle, False)
        _log.info("Main loop terminated.")

    def timeout(self) -> float | None:
        """
        Return the seconds until the next timed call; a cancelled one wakes nobody.
        """
        self._insertNewDelayedCalls()
        timed = self._pendingTimedCalls
        while timed and timed[0].cancelled:
            heappop(timed)
            self._cancellations -= 1
        return super().timeout()

    def _serve(self, timeout: float | None, handle: Callable[..., None], once: bool) -> None:
        """
        Handle events until the reactor has something else to do.

        :param handle: the handler of events that no registered function handles.
        """
        seconds = self.seconds
        turn = self._turnCompiled if compiled.speedups else self._turn
        while True:
            turn(timeout, handle, once)
            if once or self._newTimedCalls or self.threadCallQueue:
                return
            if self._justStopped or not self.running:
                return
            timed = self._pendingTimedCalls
            timeout = min(timed[0].time - seconds(), LONGEST_S) if timed else None
            if timeout is not None and (timeout <= 0 or timed[0].cancelled):
                return

    def _turn(self, timeout: float | None, handle: Callable[..., None], once: bool) -> None:
        self._handleAll(self._poller.poll(timeout, len(self._selectables)), handle)

    def _turnCompiled(self, timeout: float | None, handle: Callable[..., None], once: bool) -> None:
        wait = -1 if timeout is None else ceil(min(timeout, LONGEST_S) * 1000)
        left = compiled.speedups.serve(self._poller.fileno(), self._usual, wait, once)
        if left and len(left[0]) > 2:
            handle(*left.pop(0))
        self._handleAll(left, handle)

    def _handleAll(self, events: Iterable[tuple[int, int]], handle: Callable[..., None]) -> None:
        usual = self._usual.get
        for fd, event in events:
            function = usual(fd)
            if function is None or event != EPOLLIN:
                handle(fd, event)
                continue
            try:
                rest = function(fd)
            except BaseException as error:
                rest = error
            if rest is not None:
                handle(fd, event, rest)

    def _handler(self) -> Callable[..., None]:
        """
        Make the handler that handles an event in a log context, as ``_doReadOrWrite`` would.
        """
        tracker = context.theContextTracker.currentContext()
        if not isinstance(tracker.contexts, Contexts):
            tracker.contexts = Contexts(tracker.contexts)
        contexts, current = tracker.contexts, EventContext(context.get(ILogContext))
        find, late = self._selectables.get, self.late.find

        def handle(fd: int, event: int, rest: Any = None) -> None:
            selectable = find(fd)
            if selectable is None:
                # The kernel may tell of an error alone, of which a read tells more.
                selectable, event = late(fd), EPOLLIN
            if selectable is None:
                return
            current.owner = selectable
            contexts.append(current)
            try:
                try:
                    if rest is not None:
                        why = _finish(selectable, rest)
                    elif event & _EITHER == EPOLLIN and selectable.fileno() != -1:
                        why = selectable.doRead()
                    elif event == EPOLLOUT and selectable.fileno() != -1:
                        why = selectable.doWrite()
                    else:
                        why = _UNUSUAL
                except BaseException as error:
                    why, event = error, 0  # a raised error is not the end of the stream
                    log.err()
                if why:
                    self._settle(selectable, fd, event, why)
            finally:
                contexts.pop()
                current.owner = None  # the owner may be gone

        self.finish = lambda fd, rest: handle(fd, EPOLLIN, rest)
        return handle

    def _settle(self, selectable: Any, fd: int, event: int, why: Any) -> None:
        try:
            if why is _UNUSUAL:
                self._doReadOrWrite(selectable, fd, event)
            else:
                self._disconnectSelectable(selectable, why, bool(event & EPOLLIN))
        except KeyboardInterrupt:
            raise
        except BaseException:
            log.err()


def _finish(selectable: Any, rest: Any) -> Any:
    """
    Handle the rest of an event that its function did not handle, or raise the error
    that the function raised.
    """
    if isinstance(rest, BaseException):
        raise rest
    return selectable.doUnusual(*rest)


def install() -> None:
    """
    Install this reactor as the global one.
    """
    installReactor(LeanReactor())
