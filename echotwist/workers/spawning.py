"""
How the process of a worker is started.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: ``-m`` would look for modules in the folder where it was started first, which
#: may be anybody's, and so would this without the filter.
_CODE = (
    "import sys; sys.path[:] = filter(None, sys.path); from echotwist.workers import child; child."
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


def command(function: str, *words: str) -> list[str]:
    """
    Give the command that runs a function of :mod:`echotwist.workers.child`.

    :param words: are seen in the list of processes.
    """
    return [sys.executable, "-c", f"{_CODE}{function}()", *words]


def environment() -> dict[str, str]:
    """
    Give the worker the same modules to import, and not what systemd said to us.
    """
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    kept = {word: text for word, text in os.environ.items() if word not in _SYSTEMD}
    return {**kept, "PYTHONPATH": path}


@contextmanager
def blocked(signals: set[signal.Signals]) -> Iterator[None]:
    """
    Block signals; a process that is started meanwhile begins so too.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
