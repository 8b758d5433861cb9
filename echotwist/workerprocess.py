"""
One worker, as its parent sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Protocol as Shape

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, eventFromJSON
from twisted.python.failure import Failure

from echotwist.counters import Counters, fromLine
from echotwist.worker import EVENTS, NUMBERS, PLAN, TELL, WORDS

#: Seconds to wait for a worker's counters.
PATIENCE = 1.0


class Owner(Shape):
    """
    Whoever looks after the workers: :class:`echotwist.monitor.Monitor`.
    """

    log: Logger

    def serves(self, worker: WorkerProcess) -> None:
        """
        Hear that a worker serves.
        """

    def ended(self, worker: WorkerProcess, reason: Failure) -> None:
        """
        Hear that a worker is gone.
        """

    def kill(self, worker: WorkerProcess) -> None:
        """
        End a worker that does not answer.
        """


class WorkerProcess(ProcessProtocol):
    """
    One worker, as long as it runs.

    :param monitor: hears of it.
    :param name: its number.
    :param plan: what it is to do, pickled.
    :ivar counters: what it told last; nothing before it serves.
    :ivar gone: fires when it has ended.
    """

    def __init__(self, monitor: Owner, name: str, plan: bytes) -> None:
        self.name = name
        self._plan = plan
        self.counters: list[Counters] = []
        self.gone: Deferred[None] = Deferred()
        self._monitor = monitor
        self._asked: list[Deferred[None]] = []
        self._askedAt = 0.0
        self._unfinished = {EVENTS: b"", WORDS: b"", NUMBERS: b""}
        self._hear: dict[int, Callable[[bytes], None]] = {
            EVENTS: self._event,
            WORDS: self._word,
            NUMBERS: self._number,
        }

    @property
    def isServing(self) -> bool:
        """
        Whether it serves.
        """
        return bool(self.counters)

    def connectionMade(self) -> None:
        """
        Tell it what to do.
        """
        assert self.transport is not None
        self.transport.writeToChild(PLAN, self._plan)
        self.transport.closeChildFD(PLAN)

    def order(self, word: bytes) -> None:
        """
        Say something to it.
        """
        if self.transport is not None:
            self.transport.write(word + b"\n")

    def ask(self, clock: Any) -> Deferred[None]:
        """
        Ask for its counters.

        :param clock: calls later (``IReactorTime``).
        :return: fires when they are there, or it does not answer.
        """
        if not self._asked:
            self._askedAt = clock.seconds()
            self.order(TELL)
        answer: Deferred[None] = Deferred()
        self._asked.append(answer)
        answer.addTimeout(PATIENCE, clock)
        answer.addErrback(lambda reason: reason.trap(TimeoutError) and None)
        return answer

    def look(self, patience: float, clock: Any) -> None:
        """
        Ask it, unless it has kept us waiting for so many seconds: then end it.  One
        that is only starting is waited for.
        """
        if not (self._asked and self.isServing):
            self.ask(clock)
        elif clock.seconds() - self._askedAt >= patience:
            self._monitor.log.warn("worker {worker} does not answer", worker=self.name)
            self._monitor.kill(self)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Take what it says, line by line.
        """
        *lines, rest = (self._unfinished[childFD] + data).split(b"\n")
        self._unfinished[childFD] = rest
        for line in lines:
            try:
                self._hear[childFD](line)
            except Exception:  # Something else than we wrote there.
                self._word(line)

    def _event(self, line: bytes) -> None:
        event = eventFromJSON(line.decode("ascii"))
        level = event["log_level"].name
        event.update(log_system=f"worker {self.name}#{level}", worker=self.name)
        self._monitor.log.observer(event)

    def _word(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        self._monitor.log.warn("worker {worker}: {text}", worker=self.name, text=text)

    def _number(self, line: bytes) -> None:
        isNew = not self.counters
        self.counters = fromLine(line)
        self._answered()
        if isNew:
            self._monitor.serves(self)

    def _answered(self) -> None:
        asked, self._asked = self._asked, []
        for answer in asked:
            answer.callback(None)

    def processEnded(self, reason: Failure) -> None:
        """
        Tell that it is gone.
        """
        self._monitor.ended(self, reason)
        self._answered()
        self.gone.callback(None)
