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
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
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

from echotwist.counters import toLine
from echotwist.listeners import Listener
from echotwist.service import EchoService
from echotwist.settings import Settings

#: Words come in here; its end is that of the parent.
ORDERS = 0

#: What is logged goes out here, as JSON, a line for each event.
EVENTS = 1

#: What is said apart from that, such as the last words of Python.
WORDS = 2

#: The counters go out here, a line at the start and whenever they are asked for.
NUMBERS = 3

#: What to do comes in here, pickled: settings, numbers of sockets, module of the
#: reactor, folder.  No environment has room for any size of it (execve(2)).
PLAN = 4

#: The first of the sockets to serve on.
LISTENERS = 5

#: The order to tell the counters.
TELL = b"tell"

#: The order to drain no longer.
HURRY = b"hurry"

#: Blocked when a worker is started, so that it can be told to stop before it can listen.
#: One ^C reaches the parent and all workers, and so does the end of a terminal; these
#: do what the parent says.
SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Worker(EchoService):
    """
    The service on sockets that are open already.

    :param settings: what was chosen.
    :param count: how many sockets there are.
    :param sizes: how many of them, the last, belong to endpoints, for each time that
        one listens.
    """

    def __init__(self, settings: Settings, count: int, sizes: Sequence[int]) -> None:
        super().__init__(settings)
        self._count = count
        self._sizesGiven = sizes

    def _findPassed(self) -> None:
        """
        Leave it to the parent, to whom they were passed.
        """

    def _openListeners(self) -> list[Listener]:
        given = [socket.socket(fileno=LISTENERS + n) for n in range(self._count)]
        for listener in given:
            listener.setblocking(False)
        rest = iter(given)
        plain = [Listener.of(one) for one in islice(rest, self._count - sum(self._sizesGiven))]
        groups = iter([list(islice(rest, size)) for size in self._sizesGiven])
        return plain + self._openEndpoints(groups)

    def _watchLinks(self) -> None:
        """
        Leave it to the parent, who has the same sockets.
        """

    def _warn(self) -> None:
        """
        Leave it to the parent, like all that is to be said just once.
        """

    def _announce(self, text: str) -> None:
        Orders(self, self._reactor).startReading()
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
            os.write(NUMBERS, toLine(self.counters))


class Orders(FileDescriptor):
    """
    Where the parent speaks to a worker.

    :param worker: does what it says.
    :param reactor: waits for it.
    """

    def __init__(self, worker: Worker, reactor: Any) -> None:
        super().__init__(reactor)
        self._worker = worker

    def fileno(self) -> int:
        """
        Give the descriptor.
        """
        return ORDERS

    def doRead(self) -> Exception | None:
        """
        Do what the parent says.
        """
        words = os.read(ORDERS, 4096).split()
        if TELL in words:
            self._worker.tell()
        if HURRY in words:
            self._worker.hurry()
        return None if words else CONNECTION_DONE

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


def main() -> None:
    """
    Serve, until the parent says that it is enough.
    """
    with open(PLAN, "rb") as plan:
        settings, count, sizes, reactorModule, folder = pickle.load(plan)
    with suppress(OSError):  # It may be closed to us; absolute names will do.
        os.chdir(folder)
    namedModule(reactorModule).install()
    from twisted.internet import reactor as installed

    reactor: Any = installed
    events = FilteringLogObserver(jsonFileLogObserver(sys.stdout, ""), [isOurs])  # type: ignore[list-item]
    globalLogBeginner.beginLoggingTo([events])
    worker = Worker(settings, count, sizes)
    application = Application("echo")
    worker.setServiceParent(application)
    service = IService(application)
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    worker.tell()
