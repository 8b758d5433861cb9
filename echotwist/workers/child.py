"""
One worker of several: a process that serves on sockets of its parent.

Its parent started it with these descriptors.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, islice
from typing import Any

from twisted.application.service import Application, IService
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ReactorNotRunning
from twisted.internet.main import CONNECTION_DONE
from twisted.logger import (
    FilteringLogObserver,
    LogEvent,
    LogLevel,
    PredicateResult,
    globalLogBeginner,
    jsonFileLogObserver,
)
from twisted.python.failure import Failure
from twisted.python.reflect import namedModule

from echotwist.listening.listeners import Listener, closeAll
from echotwist.service import EchoService
from echotwist.telemetry.counters import toLine
from echotwist.workers.wire import ABORT, ADOPT, COMMANDS, CONFIG, COUNTERS, LEAVE, TELL, Plan

#: Bytes of commands that are read at once.
COMMAND_BYTES = 4096


class Worker(EchoService):
    """
    The service on sockets that are open already.

    :param plan: what to do.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.settings)
        self._plan = plan
        self._others: dict[str, list[Listener]] = {}
        self._adopted: dict[str, list[Any]] = {}

    def _findPassed(self) -> None:
        """
        Leave it to the parent, to whom they were passed.
        """

    def _openListeners(self) -> list[Listener]:
        plan = self._plan
        self._others = {name: _listeners(files) for name, files in plan.own.items()}
        own = self._others.pop(plan.name)
        shared = map(_given, plan.shared)
        plain = map(Listener.of, islice(shared, len(plan.shared) - sum(plan.sizes)))
        opened = [*own, *plain]
        return opened + self._openEndpoints(list(islice(shared, size)) for size in plan.sizes)

    def _closeListeners(self) -> None:
        super()._closeListeners()
        closeAll(chain(*self._others.values()))
        self._others = {}

    def _watchLinks(self) -> None:
        """
        Leave it to the parent, who has the same sockets.
        """

    def _warn(self) -> None:
        """
        Leave it to the parent, like all that is to be said just once.
        """

    def _announce(self, text: str) -> None:
        Commands(self, self._reactor).startReading()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        self.tell()

    def _end(self, number: int) -> None:
        # Whether at once, the parent says: whoever sends signals to all has sent it one too.
        self.stop()

    def stop(self) -> None:
        """
        End the process in order, unless it does so already.
        """
        with suppress(ReactorNotRunning):
            self._reactor.stop()

    def tell(self) -> None:
        """
        Tell the parent what happened so far.
        """
        with suppress(OSError):  # It may be gone.
            os.write(COUNTERS, toLine(self.counters))

    def adopt(self, name: str) -> None:
        """
        Serve on the sockets of another worker, which does not come up.
        """
        assert self._ports is not None
        if name in self._others:
            self._adopted[name] = self._ports.on(self._others.pop(name))
            self.ports += self._adopted[name]
        with self._log.failuresHandled("cannot serve for worker {name}", name=name):
            for port in self._adopted[name]:
                port.startReading() if port.connected else port.startListening()

    def leave(self, name: str) -> None:
        """
        Leave these to it again.
        """
        for port in self._adopted.get(name, ()):
            port.stopReading()

    def execute(self, command: bytes) -> None:
        """
        Do what the parent says.
        """
        word, colon, name = command.partition(b":")
        if command == TELL:
            self.tell()
        elif command == ABORT:
            self.abort()
        elif self.running and word + colon == ADOPT:
            self.adopt(name.decode("ascii"))
        elif self.running and word + colon == LEAVE:
            self.leave(name.decode("ascii"))


class Commands(FileDescriptor):
    """
    Where the parent speaks to a worker.

    :param worker: does what it says.
    :param reactor: waits for it.
    """

    def __init__(self, worker: Worker, reactor: Any) -> None:
        super().__init__(reactor)
        self._worker = worker
        self._unfinished = b""

    def fileno(self) -> int:
        """
        Give the descriptor.
        """
        return COMMANDS

    def doRead(self) -> Exception | None:
        """
        Do what the parent says.
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
        self._worker.stop()


def isOurs(event: LogEvent) -> PredicateResult:
    """
    Leave out what Twisted says of each process: that it stops, and has stopped.
    """
    ours = event.get("log_namespace", "").startswith("echotwist")
    if ours or event.get("log_level", LogLevel.info) > LogLevel.info:
        return PredicateResult.maybe  # type: ignore[no-any-return]
    return PredicateResult.no  # type: ignore[no-any-return]


def _given(fd: int) -> socket.socket:
    listener = socket.socket(fileno=fd)
    listener.setblocking(False)
    return listener


def _listeners(files: Iterable[int]) -> list[Listener]:
    return [Listener.of(_given(file)) for file in files]


def prepare(file: int) -> tuple[Worker, Any]:
    """
    Do all that comes before serving.

    :param file: where the plan comes in.
    :return: the worker, and its application (``IService``).
    :raise SystemExit: it cannot serve.
    """
    with open(file, "rb") as source:
        plan: Plan = pickle.load(source)
    with suppress(OSError):  # It may be closed to us; absolute names will do.
        os.chdir(plan.folder)
    namedModule(plan.reactor).install()
    worker = Worker(plan)
    application = Application("echo")
    worker.setServiceParent(application)
    return worker, IService(application)


def rehearse() -> None:
    """
    Do the same, and end.
    """
    prepare(COMMANDS)


def main() -> None:
    """
    Serve, until the parent says that it is enough.
    """
    events = FilteringLogObserver(jsonFileLogObserver(sys.stdout, ""), [isOurs])  # type: ignore[list-item]
    globalLogBeginner.beginLoggingTo([events])
    worker, service = prepare(CONFIG)
    from twisted.internet import reactor as installed

    reactor: Any = installed
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    worker.tell()
