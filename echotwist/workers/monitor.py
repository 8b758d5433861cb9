"""
The parent's view of its workers.

Importing this installs Twisted's reactor, as ``procmon`` does.
"""

from __future__ import annotations

import pickle
import socket
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, count
from math import inf
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.runner.procmon import ProcessMonitor
from zope.interface import implementer

from echotwist.sockets.errors import inWords
from echotwist.telemetry.counters import Counters
from echotwist.workers.failures import MIN_UPTIME, Failures
from echotwist.workers.liveness import LivenessCheck
from echotwist.workers.process import IWorkerOwner, WorkerProcess
from echotwist.workers.spawning import blocked, command, environment
from echotwist.workers.tryout import Identity, tryOut
from echotwist.workers.wire import (
    ABORT,
    ADOPT,
    COMMANDS,
    CONFIG,
    COUNTERS,
    EVENTS,
    LEAVE,
    LISTENERS,
    SIGNALS,
    STDERR,
    Plan,
)

#: Seconds that a worker may take to end, when its drain is over.
GRACE = 5.0

#: Seconds that it may take when it is told to drain no longer.
ABORT_GRACE = 1.0


@implementer(IWorkerOwner)
class Monitor(ProcessMonitor):
    """
    Start the workers, and start them again when they die.

    :param plan: what each of them is to do, but for its sockets.
    :param own: the sockets that each worker has for itself.
    :param shared: those that all share.
    :param counters: what was counted before, for each transport.
    :param reactor: starts processes (``IReactorProcess``, ``IReactorTime``).
    :ivar allServe: fires when all workers serve for the first time.
    :ivar gaveUp: fires when no worker comes up; says why.
    """

    #: Who has served for so many seconds is started again at once.
    threshold = MIN_UPTIME  # type: ignore[assignment]

    #: Who did not is started after this pause, which doubles each time.
    minRestartDelay = 0.1  # type: ignore[assignment]
    maxRestartDelay = 60

    log = Logger()

    def __init__(
        self,
        plan: Plan,
        own: Sequence[Sequence[socket.socket]],
        shared: Sequence[socket.socket],
        counters: Sequence[Counters],
        reactor: Any,
    ) -> None:
        super().__init__(reactor)
        self.killTime = plan.rules.streams.drain + GRACE  # type: ignore[assignment]
        self.allServe: Deferred[None] = Deferred()
        self.gaveUp: Deferred[str] = Deferred()
        self._own = {str(number): sockets for number, sockets in enumerate(own, 1)}
        self._shared = shared
        self._gone = [evolve(one) for one in counters]
        self._failures = Failures(self._own, self._clock.seconds)
        self._replaced: set[str] = set()
        self._liveness = LivenessCheck(self._clock, self._askAll, self._endSilent)
        self._plan = plan
        for name in self._own:
            self.addProcess(name, command("main", name), env=environment())

    @property
    def _files(self) -> list[int]:
        return [one.fileno() for one in chain(*self._own.values(), self._shared)]

    def _planOf(self, name: str, numbers: Iterator[int]) -> bytes:
        """
        Give what a worker is to do, pickled.

        :param numbers: what the sockets are called there.
        """
        own = {other: [next(numbers) for _ in sockets] for other, sockets in self._own.items()}
        shared = [next(numbers) for _ in self._shared]
        return pickle.dumps(evolve(self._plan, name=name, own=own, shared=shared))

    def tryOut(self, identity: Identity) -> None:
        """
        See that a worker can start.

        :param identity: as whom.
        :raise StartError: it cannot.
        """
        plan = self._planOf("1", iter(self._files))
        tryOut(command("rehearse"), environment(), plan, self._files, identity)

    @property
    def workers(self) -> list[WorkerProcess]:
        """
        Those that run.
        """
        return list(self.protocols.values())  # type: ignore[arg-type]

    @property
    def isServing(self) -> bool:
        """
        Whether all workers serve, or others in their place.
        """
        serving = {worker.name for worker in self.workers if worker.isServing}
        return bool(serving) and serving | self._replaced == set(self._own)

    @property
    def health(self) -> str:
        """
        How it stands, in words.
        """
        return self._failures.health

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
        worker = WorkerProcess(self, name, self._planOf(name, count(LISTENERS)))
        self.protocols[name] = worker  # type: ignore[assignment]
        self.timeStarted[name] = inf  # Its time has not begun: it does not serve yet.
        try:
            self._spawn(worker)
        except OSError as error:
            self._over(name, f"cannot start: {sys.executable}: {inWords(error)}")

    def _spawn(self, worker: WorkerProcess) -> None:
        process = self._processes[worker.name]
        files: dict[int, str | int] = dict.fromkeys([COMMANDS, CONFIG], "w")
        files |= dict.fromkeys([EVENTS, STDERR, COUNTERS], "r")
        files |= enumerate(self._files, LISTENERS)
        with blocked(SIGNALS):
            self._reactor.spawnProcess(
                worker, process.args[0], process.args, env=process.env, childFDs=files
            )

    def serves(self, worker: WorkerProcess) -> None:
        """
        Hear that a worker serves.
        """
        self.timeStarted[worker.name] = self._clock.seconds()
        self._failures.serves(worker.name)
        if worker.name in self._replaced:
            self._replaced.remove(worker.name)
            self._tellOthers(LEAVE, worker.name)
        for name in self._replaced:
            worker.send(ADOPT, name)
        if self.allServe.called and self.running:
            self.log.info("worker {worker} serves again", worker=worker.name)
        self._announce()

    def _announce(self) -> None:
        if self.isServing and not self.allServe.called:
            self.allServe.callback(None)

    def _tellOthers(self, command: bytes, name: str) -> None:
        for worker in self.workers:
            if worker.isServing and worker.name != name:
                worker.send(command, name)

    def ended(self, worker: WorkerProcess, why: str, isInOrder: bool) -> None:
        """
        Hear that a worker is gone, and what it counted last.
        """
        for last in worker.counters:
            last.active = 0
        for total in self._gone:
            parts = [last for last in worker.counters if last.transport == total.transport]
            total.becomeSumOf([total, *parts])
        self._over(worker.name, why, isQuiet=isInOrder and not self.running)

    def _over(self, name: str, why: str, isQuiet: bool = False) -> None:
        said = self._failures.ended(name, why)
        if said and not isQuiet:
            self.log.warn("worker {worker} {why}", worker=name, why=said)
        self._monitoredProcessExited(name)
        if not self.running:
            return
        if self._failures.isHopeless:
            self.stopService()
            self.gaveUp.callback(f"worker {name} {why}")
        elif name in self._failures.failing and name not in self._replaced:
            # Whom the kernel sends to its sockets would wait for nobody.
            self._replaced.add(name)
            self._tellOthers(ADOPT, name)
            self._announce()

    def ask(self) -> Deferred[Any]:
        """
        Ask all workers for their counters.

        :return: fires when they have answered, or do not.
        """
        return gatherResults([worker.ask(self._clock) for worker in self.workers])

    def startService(self) -> None:
        """
        Start all workers, and look after them.
        """
        super().startService()
        self._liveness.start()

    def checkAlive(self) -> None:
        """
        See that all workers answer; end those that do not, to start them again.
        """
        self._liveness.check()

    def _askAll(self) -> Deferred[list[WorkerProcess]]:
        return self.ask().addCallback(lambda _: self.workers)

    def _endSilent(self, worker: WorkerProcess) -> None:
        self.log.warn("worker {worker} does not answer", worker=worker.name)
        assert worker.transport is not None
        self._forceStopProcess(worker.transport)

    def stopService(self) -> Deferred[Any]:  # type: ignore[override]
        """
        Have all workers stop.

        :return: fires when they are gone.
        """
        if self.running:
            super().stopService()
        self._liveness.stop()
        return gatherResults([worker.gone for worker in self.workers])

    def abort(self) -> None:
        """
        Have those that stop drain no longer.
        """
        for worker in self.workers:
            worker.send(ABORT)
            if worker.name in self.murder and self.murder[worker.name].active():
                self.murder[worker.name].reset(ABORT_GRACE)
