"""
What the kernel knows of a process, and where it may run.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

#: Seconds that memory must stay as it is before it counts as settled, and at most.
SETTLED, UNSETTLED = 0.2, 5.0


def family(pid: int) -> list[int]:
    """
    Return a process, first, and all that it has started.
    """
    children = psutil.Process(pid).children(recursive=True)
    return [pid, *(child.pid for child in children)]


def processorTime(pid: int) -> int:
    """
    Return the processor time of all threads of a process, in nanoseconds.

    Exact when the process sleeps; while it runs, up to a tick is missing
    (``/proc/PID/schedstat``, Documentation/scheduler/sched-stats.rst).
    """
    return sum(
        int(thread.read_text().split()[0])
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def resident(pid: int) -> int:
    """
    Return the resident memory of a process, in bytes.

    ``smaps_rollup`` counts pages. ``VmRSS`` is the same figure, but before
    Linux 6.17 it is off by up to 32 pages for each core.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))


def settled(pid: int) -> int:
    """
    Return the resident memory once it does not change any more.
    """
    deadline = time.monotonic() + UNSETTLED
    last, now = -1, resident(pid)
    while now != last and time.monotonic() < deadline:
        time.sleep(SETTLED)
        last, now = now, resident(pid)
    return now


@contextmanager
def runningOn(cores: set[int]) -> Iterator[None]:
    """
    Let whatever is started meanwhile run on these cores only.

    A process must be born there: what sets the affinity of a running one
    leaves its other threads where they are, and Go counts the cores early.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def openFiles(wanted: int) -> int:
    """
    Let this process, and all that it starts, open as many files as it may.

    :return: how many that is, or what was wanted if that is less.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return wanted if most == resource.RLIM_INFINITY else min(wanted, most)


class Cores:
    """
    The cores that server and client run on.

    :param pinned: keep server and client apart.
    :ivar server: the cores of the server.
    :ivar client: the cores of the load generator.
    """

    def __init__(self, pinned: bool = True) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.server = {cores[-1]} if pinned else set(cores)
        self.client = {cores[0]} if pinned else set(cores)

    @property
    def apart(self) -> bool:
        """
        Tell whether neither takes time from the other.
        """
        return self.server != self.client
