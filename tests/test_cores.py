"""
How many cores there are for us.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from echotwist.cores import quotas
from tests.support.live import ROOT


class QuotaTests(SynchronousTestCase):
    """
    Tests for :func:`quotas`.
    """

    def setUp(self) -> None:
        """
        Make a folder to stand for a mount.
        """
        self.top = Path(self.mktemp()).absolute()
        self.mounts = "22 1 0:5 / /proc rw shared:1 - proc proc rw\n"

    def write(self, name: str, text: str) -> None:
        """
        Write a file of a group.
        """
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def mount(self, kind: str, options: str = "rw", root: str = "/", top: str = "") -> None:
        """
        Seem to mount groups.
        """
        place = self.top / top
        self.mounts += f"30 22 0:26 {root} {place} rw,nosuid shared:9 - {kind} {kind} {options}\n"

    def found(self, *groups: str) -> list[float]:
        """
        Return the quotas of groups.
        """
        return list(quotas("\n".join(groups), self.mounts))

    def test_second(self) -> None:
        """
        Version 2 has quotas in ``cpu.max``; those around a group hold for it as well.
        """
        self.mount("cgroup2")
        self.write("a/cpu.max", "150000 100000\n")
        self.write("a/b/cpu.max", "max 100000\n")
        self.write("a/b/c/cpu.max", "400000 100000\n")
        self.write("a/other/cpu.max", "1000 100000\n")
        self.assertEqual(self.found("0::/a/b/c"), [4.0, 1.5])
        self.assertEqual(self.found("0::/a/b"), [1.5])
        self.assertEqual(self.found("0::/"), [])

    def test_container(self) -> None:
        """
        In a container its own group is the one that is mounted.
        """
        self.write("cpu.max", "50000 100000\n")
        self.mount("cgroup2")
        self.assertEqual(self.found("0::/"), [0.5])
        self.mounts = ""
        self.mount("cgroup2", root="/docker/abc")
        self.assertEqual(self.found("0::/docker/abc"), [0.5])

    def test_elsewhere(self) -> None:
        """
        Of a group that cannot be seen nothing is known.
        """
        self.write("cpu.max", "50000 100000\n")
        self.write("x/cpu.max", "50000 100000\n")
        self.mount("cgroup2")
        self.assertEqual(self.found("0::/../x"), [])
        self.mounts = ""
        self.mount("cgroup2", root="/docker/abc")
        self.assertEqual(self.found("0::/docker/ab"), [])
        self.assertEqual(list(quotas("", "")), [])

    def test_first(self) -> None:
        """
        Version 1 has two files, where the controller ``cpu`` is mounted.
        """
        self.write("cpu/a/cpu.cfs_quota_us", "300000\n")
        self.write("cpu/a/cpu.cfs_period_us", "100000\n")
        self.write("cpu/cpu.cfs_quota_us", "-1\n")
        self.write("cpu/cpu.cfs_period_us", "100000\n")
        self.write("set/a/cpu.cfs_quota_us", "1000\n")
        self.write("set/a/cpu.cfs_period_us", "100000\n")
        self.mount("cgroup", "rw,cpu,cpuacct", top="cpu")
        self.mount("cgroup", "rw,cpuset", top="set")
        self.mount("cgroup2", top="unified")
        groups = ["5:cpuset:/a", "4:cpu,cpuacct:/a", "1:name=systemd:/a", "0::/a"]
        self.assertEqual(self.found(*groups), [3.0])

    def test_names(self) -> None:
        """
        Names may have spaces and colons.
        """
        self.top = self.top / "my groups"
        self.write("a:b/cpu.max", "100000 50000\n")
        self.mount("cgroup2")
        self.mounts = self.mounts.replace("my groups", r"my\040groups")
        self.assertEqual(self.found("0::/a:b"), [2.0])

    def test_junk(self) -> None:
        """
        Files that say something else are passed over.
        """
        self.mount("cgroup2")
        for text in ("", "max", "100000", "100000 0", "-5 100000", "many few", "1 2 3"):
            self.write("cpu.max", text)
            self.assertEqual(self.found("0::/"), [])


@pytest.fixture
def limited() -> Iterator[Path]:
    """
    A control group that may use half a core.
    """
    for top, files in [
        ("/sys/fs/cgroup/cpu", {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}),
        ("/sys/fs/cgroup", {"cpu.max": "50000 100000"}),
    ]:
        group = Path(top, f"echotwist-test-{os.getpid()}")
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                for name, text in files.items():
                    (group / name).write_text(text)
                yield group
            finally:
                group.rmdir()
            return
    pytest.skip("may not make control groups")


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_real(limited: Path) -> None:
    """
    A process in a group with half a core has one.
    """
    count = "from echotwist.cores import cores; print(cores())"
    move = f'echo $$ > {limited}/cgroup.procs && exec "$@"'
    words = ["sh", "-c", move, "sh", sys.executable, "-c", count]
    assert subprocess.check_output(words, cwd=ROOT, text=True) == "1\n"
