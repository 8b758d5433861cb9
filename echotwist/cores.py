"""
Count the cores that a process may use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from math import ceil
from pathlib import Path, PurePosixPath


def cores() -> int:
    """
    Count the cores that this process may use: those that it may run on
    (sched_setaffinity(2)), but no more than its container's quota allows.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    found = quotas(_textOf(Path("/proc/self/cgroup")), _textOf(Path("/proc/self/mountinfo")))
    return max(1, min([count, *map(ceil, found)]))


def quotas(groups: str, mounts: str) -> Iterator[float]:
    """
    Find the quotas of control groups and of their parents (cgroups(7)), in cores.

    :param groups: the text of ``/proc/self/cgroup``: the groups of a process.
    :param mounts: the text of ``/proc/self/mountinfo``: where they are mounted.
    """
    for line in groups.splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            for top, root in _mounted(mounts, "cgroup" if controllers else "cgroup2"):
                yield from _along(top, PurePosixPath(group), root)


def _mounted(mounts: str, wanted: str) -> Iterator[tuple[Path, str]]:
    """
    Find the mounts of the hierarchy with the controller ``cpu``, each with its root group.

    :param wanted: ``cgroup`` for version 1, ``cgroup2`` for version 2.
    """
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        root, top = map(_unescaped, left.split()[3:5])
        kind, _, options = right.split(" ", 2)
        if kind == wanted and (kind == "cgroup2" or "cpu" in options.split(",")):
            yield Path(top), root


def _along(top: Path, group: PurePosixPath, root: str) -> Iterator[float]:
    if not group.is_relative_to(root) or ".." in group.parts:  # The group is not in this mount.
        return
    inner = group.relative_to(root)
    for place in [inner, *inner.parents]:
        yield from _quota(top / place)


def _unescaped(name: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)


def _quota(folder: Path) -> Iterator[float]:
    """
    Return the quota of one group in cores, if it has one: microseconds in each period.
    """
    first = _textOf(folder / "cpu.cfs_quota_us") + " " + _textOf(folder / "cpu.cfs_period_us")
    for words in (_textOf(folder / "cpu.max").split(), first.split()):
        if len(words) == 2 and all(map(str.isdigit, words)) and int(words[1]):
            yield int(words[0]) / int(words[1])


def _textOf(path: Path) -> str:
    try:
        return path.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
