"""
The parent's view of its workers.

Importing this installs Twisted's reactor, as ``procmon`` does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
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
from echotwist.workers.spawning import Spawner
from echotwist.workers.wire import ABORT, ADOPT, LEAVE

#: Seconds that a worker may take to end after its drain.
GRACE = 5.0

#: Seconds that it may take to end when its drain is aborted.
ABORT_GRACE = 1.0


@implementer(IWorkerOwner)
class Monitor(ProcessMonitor):
    """
    Start the workers, and start them again when they die.

    :param spawner: starts their processes.
    :param counters: the counts so far, for each transport.
    :param reactor: starts processes (``IReactorProcess``, ``IReactorTime``).
    :ivar allServe: fires when all workers serve for the first time.
    :ivar gaveUp: fires with the reason when no worker comes up.
    """

    #: A worker that ends after so many seconds is started again at once.
    threshold = MIN_UPTIME  # type: ignore[assignment]

    #: Any other worker is started again after this pause, which doubles each time.
    minRestartDelay = 0.1  # type: ignore[assignment]
    maxRestartDelay = 60

    log = Logger()

    def __init__(
        self,
        spawner: Spawner,
        counters: Sequence[Counters],
        reactor: Any,
    ) -> None:
        super().__init__(reactor)
        self.killTime = spawner.plan.rules.streams.drain + GRACE  # type: ignore[assignment]
        self.allServe: Deferred[None] = Deferred()
        self.gaveUp: Deferred[str] = Deferred()
        self._spawner = spawner
        self._gone = [evolve(one) for one in counters]
        self._failures = Failures(spawner.names, self._clock.seconds)
        self._replaced: set[str] = set()
        self._liveness = LivenessCheck(self._clock, self._askAll, self._endSilent)
        for name in spawner.names:
            self.addProcess(name, [])

    @property
    def workers(self) -> list[WorkerProcess]:
        """
        The running workers.
        """
        return list(self.protocols.values())  # type: ignore[arg-type]

    @property
    def isServing(self) -> bool:
        """
        Whether all workers serve, or others serve in their place.
        """
        serving = {worker.name for worker in self.workers if worker.isServing}
        return bool(serving) and serving | self._replaced == set(self._spawner.names)

    @property
    def health(self) -> str:
        """
        The health of the workers, in words.
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
        Return the counters of one transport.
        """
        return [one for counters in self.counters for one in counters if one.transport == transport]

    def startProcess(self, name: str) -> None:
        """
        Start one worker, with its sockets.
        """
        if name in self.protocols:
            return
        worker = WorkerProcess(self, name, self._spawner.planOf(name))
        self.protocols[name] = worker  # type: ignore[assignment]
        self.timeStarted[name] = inf  # The worker does not serve yet.
        try:
            self._spawner.spawn(name, worker, self._reactor)
        except OSError as error:
            self._over(name, f"cannot start: {sys.executable}: {inWords(error)}")

    def serves(self, worker: WorkerProcess) -> None:
        """
        Note that a worker serves.
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
        Note that a worker has ended, and keep its last counters.
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
            # Peers that the kernel assigns to its sockets would wait for ever.
            self._replaced.add(name)
            self._tellOthers(ADOPT, name)
            self._announce()

    def ask(self) -> Deferred[Any]:
        """
        Ask all workers for their counters.

        :return: fires when each has answered, or its time is over.
        """
        return gatherResults([worker.ask(self._clock) for worker in self.workers])

    def startService(self) -> None:
        """
        Start all workers, and watch them.
        """
        super().startService()
        self._liveness.start()

    def checkAlive(self) -> None:
        """
        Check that all workers answer; kill those that do not, to start them again.
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
        Stop all workers.

        :return: fires when all have ended.
        """
        if self.running:
            super().stopService()
        self._liveness.stop()
        return gatherResults([worker.gone for worker in self.workers])

    def abort(self) -> None:
        """
        Abort the drain of stopping workers.
        """
        for worker in self.workers:
            worker.send(ABORT)
            if worker.name in self.murder and self.murder[worker.name].active():
                self.murder[worker.name].reset(ABORT_GRACE)
