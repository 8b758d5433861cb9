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

from echotwist.telemetry.counters import Counters, fromLine
from echotwist.workers.child import EVENTS, NUMBERS, PLAN, TELL, WORDS
from echotwist.workers.tryout import howEnded, lastWords

#: Seconds to wait for a worker's counters.
PATIENCE = 1.0

#: Lines of what it says before it serves that are kept.
WORDS_KEPT = 50


class Owner(Shape):
    """
    Whoever looks after the workers: :class:`echotwist.workers.monitor.Monitor`.
    """

    log: Logger

    def serves(self, worker: WorkerProcess) -> None:
        """
        Hear that a worker serves.
        """

    def ended(self, worker: WorkerProcess, why: str, isInOrder: bool) -> None:
        """
        Hear that a worker is gone.
        """


class WorkerProcess(ProcessProtocol):
    """
    One worker, as long as it runs.

    :param monitor: hears of it.
    :param name: its number.
    :param plan: what it is to do, pickled.
    :ivar counters: what it told last; nothing before it serves.
    :ivar gone: fires when it has ended.
    :ivar silence: how often in a row it did not answer.
    """

    def __init__(self, monitor: Owner, name: str, plan: bytes) -> None:
        self.name = name
        self._plan = plan
        self.counters: list[Counters] = []
        self.gone: Deferred[None] = Deferred()
        self._monitor = monitor
        self.silence = 0
        self._asked: list[Deferred[None]] = []
        self._words: list[str] = []
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

    def order(self, word: bytes, name: str = "") -> None:
        """
        Say something to it.

        :param name: of the worker that it is about, if any.
        """
        if self.transport is not None:
            self.transport.write(word + name.encode("ascii") + b"\n")

    def ask(self, clock: Any) -> Deferred[None]:
        """
        Ask for its counters.

        :param clock: calls later (``IReactorTime``).
        :return: fires when they are there, or it does not answer.
        """
        if not self._asked:
            self.order(TELL)
        answer: Deferred[None] = Deferred()
        self._asked.append(answer)
        answer.addTimeout(PATIENCE, clock)
        answer.addErrback(lambda reason: reason.trap(TimeoutError) and None)
        return answer

    def isSilent(self) -> bool:
        """
        See whether it has answered, now that it was time to.
        """
        self.silence = self.silence + 1 if self._asked else 0
        return bool(self._asked)

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
        if self.isServing:
            self._monitor.log.warn("worker {worker}: {text}", worker=self.name, text=text)
        else:  # Perhaps its last: then one of them says it all.
            self._words.append(text)
            del self._words[:-WORDS_KEPT]

    def _number(self, line: bytes) -> None:
        isNew = not self.counters
        self.counters = fromLine(line)
        self._answered()
        if isNew:
            for word in self._words:
                self._monitor.log.warn("worker {worker}: {text}", worker=self.name, text=word)
            self._monitor.serves(self)

    def _answered(self) -> None:
        asked, self._asked = self._asked, []
        for answer in asked:
            answer.callback(None)

    def processEnded(self, reason: Failure) -> None:
        """
        Tell that it is gone.
        """
        end: Any = reason.value
        why = howEnded(end.exitCode, end.signal)
        if not self.isServing and (words := lastWords(self._words)):
            why += f": {words}"
        self._monitor.ended(self, why, end.exitCode == 0)
        self._answered()
        self.gone.callback(None)
