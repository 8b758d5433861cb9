"""
The parent's view of one worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, eventFromJSON
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface

from echotwist.telemetry.counters import Counters, fromLine
from echotwist.workers.tryout import howEnded, lastWords
from echotwist.workers.wire import CONFIG, COUNTERS, EVENTS, STDERR, TELL

#: Seconds to wait for a worker's counters.
ANSWER_TIMEOUT = 1.0

#: How many lines of a worker's output are kept before it serves.
LINES_KEPT = 50


class IWorkerOwner(Interface):
    """
    An owner of workers.
    """

    log: Logger = Attribute("Where the workers' events go.")

    def serves(worker: WorkerProcess) -> None:
        """
        Note that a worker serves.
        """

    def ended(worker: WorkerProcess, why: str, isInOrder: bool) -> None:
        """
        Note that a worker has ended.

        :param isInOrder: it ended with status 0.
        """


class WorkerProcess(ProcessProtocol):
    """
    One running worker.

    :param owner: the owner, which is told what happens to it.
    :param name: its number.
    :param plan: its plan, pickled.
    :ivar counters: the counters that it sent last; empty before it serves.
    :ivar gone: fires when it has ended.
    :ivar silence: how often in a row it did not answer.
    """

    def __init__(self, owner: IWorkerOwner, name: str, plan: bytes) -> None:
        self.name = name
        self._plan = plan
        self.counters: list[Counters] = []
        self.gone: Deferred[None] = Deferred()
        self._owner = owner
        self.silence = 0
        self._asked: list[Deferred[None]] = []
        self._stderr: list[str] = []
        self._unfinished = {EVENTS: b"", STDERR: b"", COUNTERS: b""}
        self._hear: dict[int, Callable[[bytes], None]] = {
            EVENTS: self._event,
            STDERR: self._line,
            COUNTERS: self._told,
        }

    @property
    def isServing(self) -> bool:
        """
        Whether the worker serves.
        """
        return bool(self.counters)

    def connectionMade(self) -> None:
        """
        Send the worker its plan.
        """
        assert self.transport is not None
        self.transport.writeToChild(CONFIG, self._plan)
        self.transport.closeChildFD(CONFIG)

    def send(self, command: bytes, name: str = "") -> None:
        """
        Send a command to the worker.

        :param name: the name of the worker that the command is about, if any.
        """
        if self.transport is not None:
            self.transport.write(command + name.encode("ascii") + b"\n")

    def ask(self, clock: IReactorTime) -> Deferred[None]:
        """
        Ask for the counters of the worker.

        :param clock: the clock (``IReactorTime``).
        :return: fires when they have come, or their time is over.
        """
        if not self._asked:
            self.send(TELL)
        answer: Deferred[None] = Deferred()
        self._asked.append(answer)
        answer.addTimeout(ANSWER_TIMEOUT, clock)
        answer.addErrback(lambda reason: reason.trap(TimeoutError) and None)
        return answer

    def isSilent(self) -> bool:
        """
        Tell whether the worker failed to answer in time.
        """
        self.silence = self.silence + 1 if self._asked else 0
        return bool(self._asked)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Read the output of the worker, line by line.
        """
        *lines, rest = (self._unfinished[childFD] + data).split(b"\n")
        self._unfinished[childFD] = rest
        for line in lines:
            try:
                self._hear[childFD](line)
            except Exception:  # Another program or library wrote there.
                self._line(line)

    def _event(self, line: bytes) -> None:
        event = eventFromJSON(line.decode("ascii"))
        level = event["log_level"].name
        event.update(log_system=f"worker {self.name}#{level}", worker=self.name)
        self._owner.log.observer(event)

    def _line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        if self.isServing:
            self._owner.log.warn("worker {worker}: {text}", worker=self.name, text=text)
        else:  # Perhaps its last words, one line of which says why.
            self._stderr.append(text)
            del self._stderr[:-LINES_KEPT]

    def _told(self, line: bytes) -> None:
        isNew = not self.counters
        self.counters = fromLine(line)
        self._answered()
        if isNew:
            for word in self._stderr:
                self._owner.log.warn("worker {worker}: {text}", worker=self.name, text=word)
            self._owner.serves(self)

    def _answered(self) -> None:
        asked, self._asked = self._asked, []
        for answer in asked:
            answer.callback(None)

    def processEnded(self, reason: Failure) -> None:
        """
        Tell the owner that the worker has ended.
        """
        end: Any = reason.value
        why = howEnded(end.exitCode, end.signal)
        if not self.isServing and (words := lastWords(self._stderr)):
            why += f": {words}"
        self._owner.ended(self, why, end.exitCode == 0)
        self._answered()
        self.gone.callback(None)
