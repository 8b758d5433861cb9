"""
Hosts of our own: network namespaces (ip-netns(8)), joined by a wire.  They need root.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from bench.toolchains import Missing, tool

#: Seconds until something that should have begun, or ended, never will.
PATIENCE = 30.0

_numbers = count(1)


class Namespace:
    """
    A host that only this process knows, with its own loopback.

    :raise bench.toolchains.Missing: when there can be none.
    """

    def __init__(self) -> None:
        self.name = f"bench{os.getpid()}-{next(_numbers)}"
        done = subprocess.run(
            [tool("ip"), "netns", "add", self.name], capture_output=True, text=True
        )
        if done.returncode:
            raise Missing(f"no network namespace: {done.stderr.strip()}")
        self._started: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Namespace:
        self.run("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def command(self, words: Sequence[str | Path]) -> list[str]:
        """
        Return the command that runs another one here.
        """
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def run(self, *words: str | Path) -> str:
        """
        Run a command here, and give what it says.
        """
        return _said(*self.command(words))

    def start(self, words: Sequence[str | Path], **how: Any) -> subprocess.Popen[Any]:
        """
        Start a program here, which ends with the host.

        :param how: as for ``Popen``; it reads and says nothing by default.
        """
        silent = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.DEVNULL)
        self._started.append(subprocess.Popen(self.command(words), **silent | how))
        return self._started[-1]

    def _end(self) -> None:
        """
        End all that runs here: what was started, and what that has started.
        """
        until = time.monotonic() + PATIENCE
        while (pids := _said("ip", "netns", "pids", self.name)) and time.monotonic() < until:
            for pid in pids.split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.01)
        for process in self._started:
            process.communicate()

    def waitForPort(self, port: int, *kinds: str) -> None:
        """
        Wait until a port is open.

        :param kinds: ``tcp``, ``udp``.
        :raise TimeoutError: it never is.
        """
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            rows = self.run("ss", "-Hlntu", f"sport = :{port}").splitlines()
            if {*kinds} <= {row.split()[0] for row in rows}:
                return
            time.sleep(0.01)
        raise TimeoutError(f"nothing listens on port {port}")


def _said(*words: str) -> str:
    return subprocess.check_output(words, text=True)


@contextmanager
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """
    Make two hosts joined by a wire: ``eth0`` of 10.99.0.1 and of 10.99.0.2.

    :raise bench.toolchains.Missing: when there can be none.
    """
    with ExitStack() as stack:
        one, other = (stack.enter_context(Namespace()) for _ in range(2))
        end = ["peer", "name", "eth0", "netns", other.name]
        one.run("ip", "link", "add", "eth0", "type", "veth", *end)
        for number, host in enumerate((one, other), 1):
            host.run("ip", "addr", "add", f"10.99.0.{number}/24", "dev", "eth0")
            host.run("ip", "link", "set", "eth0", "up")
        yield one, other
