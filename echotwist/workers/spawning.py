"""
Start the processes of workers.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from socket import socket as Socket

from attrs import evolve
from twisted.internet.interfaces import IProcessProtocol, IReactorProcess

from echotwist.workers.tryout import Identity, tryOut
from echotwist.workers.wire import (
    COMMANDS,
    CONFIG,
    COUNTERS,
    EVENTS,
    LISTENERS,
    SIGNALS,
    STDERR,
    Plan,
)

#: ``-m`` would look for modules in the current folder first, and other users may be able
#: to write there; so would this command without the filter.
_CODE = (
    "import sys; sys.path[:] = filter(None, sys.path); from echotwist.workers import child; child."
)

#: Variables that systemd sets for one process only (sd_listen_fds(3), sd_notify(3),
#: sd_watchdog_enabled(3)).
_SYSTEMD = {
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
}


class Spawner:
    """
    Start processes of workers, each with the sockets of all.

    :param plan: the plan of each worker, without its sockets.
    :param own: each worker's own sockets.
    :param shared: the sockets that all workers share.
    :ivar plan: the plan, as above.
    :ivar names: the names of the workers.
    """

    def __init__(
        self, plan: Plan, own: Sequence[Sequence[Socket]], shared: Sequence[Socket]
    ) -> None:
        self.plan = plan
        self._own = {str(number): sockets for number, sockets in enumerate(own, 1)}
        self._shared = shared
        self.names = list(self._own)
        # Made now: names of folders are relative to this one, whatever --rundir says.
        self._environment = environment()

    @property
    def _files(self) -> list[int]:
        return [one.fileno() for one in chain(*self._own.values(), self._shared)]

    def _pickled(self, name: str, numbers: Iterator[int]) -> bytes:
        """
        Return the pickled plan of a worker.

        :param numbers: the numbers of the sockets' descriptors in the worker.
        """
        own = {other: [next(numbers) for _ in sockets] for other, sockets in self._own.items()}
        shared = [next(numbers) for _ in self._shared]
        return pickle.dumps(evolve(self.plan, name=name, own=own, shared=shared))

    def planOf(self, name: str) -> bytes:
        """
        Return the pickled plan of a worker.
        """
        return self._pickled(name, count(LISTENERS))

    def tryOut(self, identity: Identity) -> None:
        """
        Check that a worker can start.

        :param identity: the user, group and root folder that it will have.
        :raise StartError: it cannot.
        """
        plan = self._pickled(self.names[0], iter(self._files))
        tryOut(command("rehearse"), self._environment, plan, self._files, identity)

    def spawn(self, name: str, protocol: IProcessProtocol, reactor: IReactorProcess) -> None:
        """
        Start a worker.

        :param protocol: the protocol of the process.
        :raise OSError: the process cannot be started.
        """
        words = command("main", name)
        files: dict[int, str | int] = dict.fromkeys([COMMANDS, CONFIG], "w")
        files |= dict.fromkeys([EVENTS, STDERR, COUNTERS], "r")
        files |= enumerate(self._files, LISTENERS)
        with blocked(SIGNALS):
            reactor.spawnProcess(protocol, words[0], words, env=self._environment, childFDs=files)


def command(function: str, *words: str) -> list[str]:
    """
    Return the command that runs a function of :mod:`echotwist.workers.child`.

    :param words: words to show in the list of processes.
    """
    return [sys.executable, "-c", f"{_CODE}{function}()", *words]


def environment() -> dict[str, str]:
    """
    Return the environment of a worker: the same modules to import, but no variables for
    the parent from systemd.
    """
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    kept = {word: text for word, text in os.environ.items() if word not in _SYSTEMD}
    return {**kept, "PYTHONPATH": path}


@contextmanager
def blocked(signals: set[signal.Signals]) -> Iterator[None]:
    """
    Block signals, also for a process that is started meanwhile.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
