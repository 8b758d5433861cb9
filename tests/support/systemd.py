"""
A host with systemd: namespaces in which it is the first process (unshare(1)).

Needs root, and systemd for cgroup v2.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.live import PATIENCE, ROOT, waitUntil

#: Gives it files, processes and a network of its own.  systemd mends the machine
#: that it starts on, so that it may not write to this one; /tmp is its own but
#: for the folder that the test shares with it.
_SCRIPT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/shared /run/systemd/system
mount --bind "$1" /run/shared
mount -o remount,bind,ro /
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/tmp
mkdir -p "$1"
mount --bind /run/shared "$1"
umount -R /sys/fs/cgroup || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t proc proc /proc
ip link set lo up
cp -r "$1/units/." /run/systemd/system/
exec env container=test "$2" --system --log-target=console --unit=test.target
"""

#: Where distributions have it.
SYSTEMD = Path("/lib/systemd/systemd")


#: Has all that runs there in a control group of its own, which is its root: what
#: systemd ties to its groups, such as filters of packets, must not outlive it.
_JOIN = 'echo $$ >"$0/cgroup.procs"; exec "$@"'


def controlGroups() -> Path | None:
    """
    Find where cgroup v2 is mounted, if it is.
    """
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return next((Path(where) for _, where, kind, *_ in mounts if kind == "cgroup2"), None)


def remove(group: Path) -> bool:
    """
    Remove a control group with all that are in it.

    :return: whether that could be done; not while a process is there.
    """
    try:
        for folder, _, _ in os.walk(group, topdown=False):
            os.rmdir(folder)
    except OSError:
        return False
    return True


class Host:
    """
    A running systemd, with units from the folder ``units``.

    :param folder: shared with it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        groups = controlGroups()
        assert groups is not None, "needs cgroup v2"
        self._group = groups / f"echotwist-test-{os.getpid()}-{id(self)}"
        self._group.mkdir()
        words = ["sh", "-c", _JOIN, str(self._group)]
        words += ["unshare", "-mpfuinC", "--kill-child", "sh", "-c", _SCRIPT, "sh"]
        with open(folder / "boot.log", "w") as log:
            self._process = subprocess.Popen(
                [*words, str(folder), str(SYSTEMD)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """
        The process that is the first one there.
        """
        [first] = psutil.Process(self._process.pid).children()
        return first.pid

    def enter(self, kinds: str, *words: str) -> str:
        """
        Run a command there.

        :param kinds: of namespaces, as options of nsenter(1).
        :raise AssertionError: when it fails.
        """
        command = ["nsenter", "-t", str(self.pid), kinds, *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.log
        return done.stdout

    def python(self, code: str) -> str:
        """
        Run some Python in its network.
        """
        return self.enter("-n", sys.executable, "-c", code)

    def control(self, *words: str) -> str:
        """
        Run ``systemctl``.
        """
        return self.enter("-a", "systemctl", "--no-pager", *words)

    def restart(self, kind: str) -> None:
        """
        Have it read the units again, and begin anew with one.
        """
        self.control("daemon-reload")
        self.control("restart", f"echotwist.{kind}")

    def show(self, key: str, unit: str = "echotwist.service") -> str:
        """
        Tell something about the service.
        """
        return self.control("show", "--value", "-p", key, unit).strip()

    def waitFor(self, key: str, value: str, unit: str = "echotwist.service") -> None:
        """
        Wait until something is so.
        """
        waitUntil(lambda: self.show(key, unit) == value, f"{key} is {value}: {self.log}")

    @property
    def log(self) -> str:
        """
        What systemd and the service have said.
        """
        return "".join(path.read_text() for path in sorted(self._folder.glob("*.log")))

    def running(self) -> bool:
        """
        Tell whether it obeys.
        """
        assert self._process.poll() is None, self.log
        try:
            return self.control("is-active", "test.target") == "active\n"
        except (AssertionError, ValueError):
            return False

    def kill(self) -> None:
        """
        End it, and all that runs there.
        """
        self._process.kill()
        self._process.wait(PATIENCE)
        waitUntil(lambda: remove(self._group), "all that ran there has ended")


@contextmanager
def booted(folder: Path) -> Iterator[Host]:
    """
    Have such a host.
    """
    host = Host(folder)
    try:
        waitUntil(host.running, "systemd has started")
        yield host
    finally:
        host.kill()


class Manager:
    """
    Hears what a service tells systemd.

    :param place: where, as ``NOTIFY_SOCKET`` has it.
    """

    def __init__(self, place: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + place[1:] if place.startswith("@") else place)
        self._socket.settimeout(PATIENCE)
        self.close = self._socket.close

    def next(self) -> dict[str, str]:
        """
        Wait for the next message.
        """
        lines = self._socket.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def rest(self) -> list[dict[str, str]]:
        """
        Return all messages that have come already.
        """
        self._socket.settimeout(0)
        found = []
        try:
            while True:
                found.append(self.next())
        except BlockingIOError:
            return found
        finally:
            self._socket.settimeout(PATIENCE)
