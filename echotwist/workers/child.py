"""
The process of one worker.

Its parent starts it with the descriptors of :mod:`echotwist.workers.wire`.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.main import CONNECTION_DONE
from twisted.logger import (
    FilteringLogObserver,
    LogEvent,
    Logger,
    LogLevel,
    PredicateResult,
    globalLogBeginner,
    jsonFileLogObserver,
)
from twisted.python.failure import Failure
from twisted.python.reflect import namedModule

from echotwist.listening.listeners import Listener, closeAll
from echotwist.listening.serving import Given, Serving
from echotwist.reactors import IReactor, keepSteady
from echotwist.signals import StopSignals, stop, stopAsFailed
from echotwist.sockets.errors import StartError, oneLine
from echotwist.telemetry.counters import Counters, toLine
from echotwist.telemetry.logstream import keepFromBlocking
from echotwist.workers.wire import ABORT, ADOPT, COMMANDS, CONFIG, COUNTERS, LEAVE, TELL, Plan

#: Bytes of commands read at once.
COMMAND_BYTES = 4096


class Worker:
    """
    Serve in this process on sockets that are already open, as the parent commands.

    The parent also commands the stop: a signal to the whole process group reaches the
    parent too.

    :param plan: the plan of the worker.
    :param reactor: the reactor that runs it.
    """

    _log = Logger()

    def __init__(self, plan: Plan, reactor: IReactor) -> None:
        self._reactor = reactor
        self._counters = [Counters(transport) for transport in plan.sockets.transports]
        own = dict(plan.own)
        given = Given.of(_given(own.pop(plan.name)), _given(plan.shared), plan.sizes)
        self._others = {name: _listeners(files) for name, files in own.items()}
        self._adopted: dict[str, list[Any]] = {}
        self._serving = Serving(plan.sockets, plan.rules, self._counters, reactor, self.fail, given)
        self._signals = StopSignals()
        self._isStopping = False

    def open(self) -> None:
        """
        Open the endpoints, so that serving can start.

        :raise StartError: the worker cannot serve.
        """
        self._serving.open()

    def start(self) -> None:
        """
        Start serving.
        """
        for stream in (sys.__stdout__, sys.__stderr__):
            keepFromBlocking(stream)
        self._reactor.callWhenRunning(self._signals.take, self._reactor)
        self._serving.start().addCallback(self._listen)

    def _listen(self, _: object) -> None:
        """
        Read commands of the parent, and leave its stop signals to it.
        """
        Commands(self, self._reactor).startReading()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        self.tell()

    def fail(self, why: str) -> None:
        """
        Stop the process in order, with status 1.

        :param why: the reason, in words.
        """
        self._log.critical("{why}", why=why)
        stopAsFailed(self._reactor)

    def end(self) -> None:
        """
        Stop the process in order, unless it is stopping already.
        """
        stop(self._reactor)

    def stop(self) -> Deferred[None]:
        """
        Stop without losing a byte.

        :return: fires when nothing is left open.
        """
        self._isStopping = True
        closeAll(chain(*self._others.values()))
        self._others = {}
        return self._serving.stop()

    def tell(self) -> None:
        """
        Send the counters to the parent.
        """
        with suppress(OSError):  # The parent may be gone.
            os.write(COUNTERS, toLine(self._counters))

    def adopt(self, name: str) -> None:
        """
        Serve on the sockets of another worker, which does not come up.
        """
        if name in self._others:
            self._adopted[name] = self._serving.add(self._others.pop(name))
        with self._log.failuresHandled("cannot serve for worker {name}", name=name):
            for port in self._adopted[name]:
                port.startReading() if port.connected else port.startListening()

    def leave(self, name: str) -> None:
        """
        Leave the sockets of that worker to it again.
        """
        for port in self._adopted.get(name, ()):
            port.stopReading()

    def execute(self, command: bytes) -> None:
        """
        Execute a command of the parent.
        """
        word, colon, name = command.partition(b":")
        if command == TELL:
            self.tell()
        elif command == ABORT:
            self._serving.abort()
        elif word + colon == ADOPT and not self._isStopping:
            self.adopt(name.decode("ascii"))
        elif word + colon == LEAVE and not self._isStopping:
            self.leave(name.decode("ascii"))


class Commands(FileDescriptor):
    """
    Where the parent speaks to a worker.

    :param worker: does what it says.
    :param reactor: waits for it.
    """

    def __init__(self, worker: Worker, reactor: IReactorFDSet) -> None:
        super().__init__(reactor)
        self._worker = worker
        self._unfinished = b""

    def fileno(self) -> int:
        """
        Return the descriptor.
        """
        return COMMANDS

    def doRead(self) -> Exception | None:
        """
        Execute a command of the parent.
        """
        said = os.read(COMMANDS, COMMAND_BYTES)
        *lines, self._unfinished = (self._unfinished + said).split(b"\n")
        for line in lines:
            self._worker.execute(line)
        return None if said else CONNECTION_DONE

    def connectionLost(self, reason: Failure) -> None:
        """
        Stop, as the parent is gone.
        """
        super().connectionLost(reason)
        self._worker.end()


def isOurs(event: LogEvent) -> PredicateResult:
    """
    Leave out what Twisted logs in each process: that it stops, and has stopped.
    """
    ours = event.get("log_namespace", "").startswith("echotwist")
    if ours or event.get("log_level", LogLevel.info) > LogLevel.info:
        return PredicateResult.maybe  # type: ignore[no-any-return]
    return PredicateResult.no  # type: ignore[no-any-return]


def _given(files: Iterable[int]) -> list[socket.socket]:
    given = [socket.socket(fileno=file) for file in files]
    for one in given:
        one.setblocking(False)
    return given


def _listeners(files: Iterable[int]) -> list[Listener]:
    return [Listener.of(one) for one in _given(files)]


def prepare(file: int) -> tuple[Worker, IReactor]:
    """
    Read the plan, install the reactor, and open the endpoints.

    :param file: the descriptor that the plan comes from.
    :return: the worker, and its reactor.
    :raise SystemExit: it cannot serve.
    """
    with open(file, "rb") as source:
        plan: Plan = pickle.load(source)
    with suppress(OSError):  # We may not enter it; absolute names work all the same.
        os.chdir(plan.folder)
    namedModule(plan.reactor).install()
    from twisted.internet import reactor as installed

    reactor: IReactor = keepSteady(installed)
    worker = Worker(plan, reactor)
    try:
        worker.open()
    except StartError as error:
        raise SystemExit(oneLine(error)) from None
    return worker, reactor


def rehearse() -> None:
    """
    Get a worker ready as :func:`prepare` does, and end.
    """
    prepare(COMMANDS)


def main() -> None:
    """
    Serve, until the parent says that it is enough.
    """
    events = FilteringLogObserver(jsonFileLogObserver(sys.stdout, ""), [isOurs])  # type: ignore[list-item]
    globalLogBeginner.beginLoggingTo([events])
    worker, reactor = prepare(CONFIG)
    worker.start()
    reactor.addSystemEventTrigger("before", "shutdown", worker.stop)
    reactor.run()
    worker.tell()
