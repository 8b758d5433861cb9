"""
The parent's view of its workers.

Importing this installs Twisted's reactor, as ``procmon`` does.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.runner.procmon import ProcessMonitor

from echotwist.counters import Counters
from echotwist.settings import Settings
from echotwist.sockets import inWords
from echotwist.worker import EVENTS, HURRY, LISTENERS, NUMBERS, ORDERS, PLAN, SIGNALS, WORDS
from echotwist.workerprocess import WorkerProcess

#: Seconds that a worker may take to end, when its drain is over.
GRACE = 5.0

#: Seconds that it may take when it is told to hurry.
HURRY_GRACE = 1.0

#: ``-m`` would look for modules in the folder where it was started first, which
#: may be anybody's, and so would this without the filter.
_START = (
    "import sys; sys.path[:] = filter(None, sys.path); from echotwist.worker import main; main()"
)

#: What systemd tells one process only (sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3)).
_SYSTEMD = {
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
}


class Monitor(ProcessMonitor):
    """
    Start the workers, and start them again when they die.

    :param settings: what was chosen.
    :param sets: the sockets, for each worker.
    :param sizes: how many of each, the last, belong to endpoints, for each time that one
        listens.
    :param folder: where the workers are to find files.
    :param counters: what was counted before, for each transport.
    :param reactor: starts processes (``IReactorProcess``, ``IReactorTime``).
    :ivar allServe: fires when all workers serve for the first time.
    """

    #: Who lived for so many seconds is started again at once.
    threshold = 1

    #: Who did not is started after this pause, which doubles each time.
    minRestartDelay = 0.1  # type: ignore[assignment]
    maxRestartDelay = 60

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        sets: Sequence[Sequence[socket.socket]],
        sizes: Sequence[int],
        folder: str,
        counters: Sequence[Counters],
        reactor: Any,
    ) -> None:
        super().__init__(reactor)
        self.killTime = settings.drain + GRACE  # type: ignore[assignment]
        self.allServe: Deferred[None] = Deferred()
        self._sets = {str(number): listeners for number, listeners in enumerate(sets, 1)}
        self._plans: dict[str, bytes] = {}
        self._gone = [evolve(one) for one in counters]
        module = type(reactor).__module__
        alone = evolve(settings, workers=1, metrics=None)
        for name, listeners in self._sets.items():
            # Names of files were meant from here, wherever --rundir leads.
            plan = alone, len(listeners), sizes, module, folder
            self._plans[name] = pickle.dumps(plan)
            self.addProcess(name, [sys.executable, "-c", _START, name], env=_environment())

    @property
    def workers(self) -> list[WorkerProcess]:
        """
        Those that run.
        """
        return list(self.protocols.values())  # type: ignore[arg-type]

    @property
    def isServing(self) -> bool:
        """
        Whether all workers serve.
        """
        return sum(worker.isServing for worker in self.workers) == len(self._sets)

    @property
    def counters(self) -> list[list[Counters]]:
        """
        The last known counters of each worker, and of those that have ended.
        """
        return [self._gone, *(worker.counters for worker in self.workers if worker.counters)]

    def countersOf(self, transport: str) -> list[Counters]:
        """
        Give those of one transport.
        """
        return [one for counters in self.counters for one in counters if one.transport == transport]

    def startProcess(self, name: str) -> None:
        """
        Start one worker, with its sockets.
        """
        if name in self.protocols:
            return
        worker = WorkerProcess(self, name, self._plans[name])
        self.protocols[name] = worker  # type: ignore[assignment]
        self.timeStarted[name] = self._clock.seconds()
        try:
            self._spawn(worker)
        except OSError as error:
            self.log.error(
                "worker {worker} cannot start: {program}: {why}",
                worker=name,
                program=sys.executable,
                why=inWords(error),
            )
            self._monitoredProcessExited(name)

    def _spawn(self, worker: WorkerProcess) -> None:
        process = self._processes[worker.name]
        files: dict[int, str | int] = dict.fromkeys([ORDERS, PLAN], "w")
        files |= dict.fromkeys([EVENTS, WORDS, NUMBERS], "r")
        for number, listener in enumerate(self._sets[worker.name], LISTENERS):
            files[number] = listener.fileno()
        with _blocked(SIGNALS):
            self._reactor.spawnProcess(
                worker, process.args[0], process.args, env=process.env, childFDs=files
            )

    def serves(self, worker: WorkerProcess) -> None:
        """
        Hear that a worker serves.
        """
        if self.isServing and not self.allServe.called:
            self.allServe.callback(None)
        elif self.allServe.called and self.running:
            self.log.info("worker {worker} serves again", worker=worker.name)

    def ended(self, worker: WorkerProcess, reason: Failure) -> None:
        """
        Hear that a worker is gone, and what it counted last.
        """
        for last in worker.counters:
            last.active = 0
        for total in self._gone:
            parts = [last for last in worker.counters if last.transport == total.transport]
            total.becomeSumOf([total, *parts])
        end: Any = reason.value
        if self.running or end.exitCode != 0:
            self.log.warn("worker {worker} {why}", worker=worker.name, why=_why(end))
        self._monitoredProcessExited(worker.name)

    def ask(self) -> Deferred[Any]:
        """
        Ask all workers for their counters.

        :return: fires when they have answered, or do not.
        """
        return gatherResults([worker.ask(self._clock) for worker in self.workers])

    def look(self, patience: float) -> None:
        """
        End the workers that have not answered for so many seconds, to start them
        again, and ask the others.
        """
        for worker in self.workers:
            worker.look(patience, self._clock)

    def kill(self, worker: WorkerProcess) -> None:
        """
        End a worker that does not answer; it is started again.
        """
        assert worker.transport is not None
        self._forceStopProcess(worker.transport)

    def stopService(self) -> Deferred[Any]:  # type: ignore[override]
        """
        Have all workers stop.

        :return: fires when they are gone.
        """
        super().stopService()
        return gatherResults([worker.gone for worker in self.workers])

    def hurry(self) -> None:
        """
        Have those that stop drain no longer.
        """
        for worker in self.workers:
            worker.order(HURRY)
            if worker.name in self.murder and self.murder[worker.name].active():
                self.murder[worker.name].reset(HURRY_GRACE)


def _why(end: Any) -> str:
    """
    Say how a process ended.

    :param end: ``ProcessDone`` or ``ProcessTerminated``.
    """
    if end.signal is None:
        return f"ended with status {end.exitCode}"
    try:
        return f"was ended by {signal.Signals(end.signal).name}"
    except ValueError:  # a real-time signal
        return f"was ended by signal {end.signal}"


def _environment() -> dict[str, str]:
    """
    Give the worker the same modules to import, and not what systemd said to us.
    """
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    kept = {word: text for word, text in os.environ.items() if word not in _SYSTEMD}
    return {**kept, "PYTHONPATH": path}


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
