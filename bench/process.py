"""
What the kernel knows of a process, and where it may run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

#: Seconds that memory must stay as it is before it counts as settled, and at most.
SETTLED, UNSETTLED = 0.2, 5.0


def family(pid: int) -> list[int]:
    """
    Give a process and all that it has started.
    """
    children = psutil.Process(pid).children(recursive=True)
    return [pid, *(child.pid for child in children)]


def processorTime(pid: int) -> int:
    """
    Give the processor time of all threads of a process, in nanoseconds.

    Exact when the process sleeps; while it runs, up to a tick is missing
    (``/proc/PID/schedstat``, Documentation/scheduler/sched-stats.rst).
    """
    return sum(
        int(thread.read_text().split()[0])
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def resident(pid: int) -> int:
    """
    Give the resident memory of a process, in bytes.

    ``smaps_rollup`` counts pages. ``VmRSS`` is the same figure, but before
    Linux 6.17 it is off by up to 32 pages for each core.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))


def settled(pid: int) -> int:
    """
    Give the resident memory once it does not change any more.
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


class Cores:
    """
    Who runs where.

    :ivar server: the cores of the server.
    :ivar client: the cores of the load generator.
    """

    def __init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.server = {cores[-1]}
        self.client = {cores[0]}

    @property
    def apart(self) -> bool:
        """
        Tell whether there is more than one.
        """
        return self.server != self.client
