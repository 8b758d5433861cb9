"""
How the process of a worker is started.
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

#: ``-m`` would look for modules in the current folder first, which anybody may be able
#: to write to; so would this without the filter.
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

    :param plan: what each of them is to do, but for its sockets.
    :param own: the sockets that each worker has for itself.
    :param shared: those that all share.
    :ivar plan: the first.
    :ivar names: of the workers.
    """

    def __init__(
        self, plan: Plan, own: Sequence[Sequence[Socket]], shared: Sequence[Socket]
    ) -> None:
        self.plan = plan
        self._own = {str(number): sockets for number, sockets in enumerate(own, 1)}
        self._shared = shared
        self.names = list(self._own)
        # Now: names of folders are relative to this one, wherever --rundir leads.
        self._environment = environment()

    @property
    def _files(self) -> list[int]:
        return [one.fileno() for one in chain(*self._own.values(), self._shared)]

    def _pickled(self, name: str, numbers: Iterator[int]) -> bytes:
        """
        Give what a worker is to do.

        :param numbers: the descriptors that the sockets have there.
        """
        own = {other: [next(numbers) for _ in sockets] for other, sockets in self._own.items()}
        shared = [next(numbers) for _ in self._shared]
        return pickle.dumps(evolve(self.plan, name=name, own=own, shared=shared))

    def planOf(self, name: str) -> bytes:
        """
        Give what a worker is to do, pickled.
        """
        return self._pickled(name, count(LISTENERS))

    def tryOut(self, identity: Identity) -> None:
        """
        Check that a worker can start.

        :param identity: the user, group and root that it will have.
        :raise StartError: it cannot.
        """
        plan = self._pickled(self.names[0], iter(self._files))
        tryOut(command("rehearse"), self._environment, plan, self._files, identity)

    def spawn(self, name: str, protocol: IProcessProtocol, reactor: IReactorProcess) -> None:
        """
        Start a worker.

        :param protocol: hears of it.
        :raise OSError: it cannot be started.
        """
        words = command("main", name)
        files: dict[int, str | int] = dict.fromkeys([COMMANDS, CONFIG], "w")
        files |= dict.fromkeys([EVENTS, STDERR, COUNTERS], "r")
        files |= enumerate(self._files, LISTENERS)
        with blocked(SIGNALS):
            reactor.spawnProcess(protocol, words[0], words, env=self._environment, childFDs=files)


def command(function: str, *words: str) -> list[str]:
    """
    Give the command that runs a function of :mod:`echotwist.workers.child`.

    :param words: are seen in the list of processes.
    """
    return [sys.executable, "-c", f"{_CODE}{function}()", *words]


def environment() -> dict[str, str]:
    """
    Give the worker the same modules to import, but not what systemd told us.
    """
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    kept = {word: text for word, text in os.environ.items() if word not in _SYSTEMD}
    return {**kept, "PYTHONPATH": path}


@contextmanager
def blocked(signals: set[signal.Signals]) -> Iterator[None]:
    """
    Block signals; a process that is started meanwhile has them blocked too.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
