"""
Run a service in a process of its own, and check what it leaves behind.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

#: Seconds that a service may take to start, to end, and to close unneeded descriptors.
_TO_START, _TO_END, _TO_CLOSE = 60.0, 30.0, 5.0

#: The last line of a start, and the start of a line that tells a fault.
_READY = re.compile(r"#info\] echo on (.*?)(?:; \d+ workers)?$")
_FAULT = re.compile(r"#(?:error|critical)\]|Traceback \(most recent call last\)|Unhandled")

#: States of connections that a peer has open, or is about to close (``tcp_states.h``), and
#: the state of a connected UNIX socket (``net.h``).
_OPEN, _CONNECTED = {"01", "02", "03", "04", "05"}, "03"


class EchoProcess:
    """
    A running echo service.

    :param words: the words of its command line.
    :raise RuntimeError: it does not start; the text is its last line.
    :ivar process: the process.
    :ivar listeners: its listeners as it logs them, such as ``TCP 127.0.0.1:1234``.
    :ivar host: the address of the first listener with a port; ``port`` is that port, or 0.
    """

    def __init__(self, words: list[str]) -> None:
        self._output = TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "echotwist.testing", *words],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,  # ^C stops the tests, not the service.
        )
        self.faults: list[str] = []
        self._isOver = False
        self._said: list[str] = []
        try:
            _waitFor(lambda: bool(self._ready) or self.process.poll() is not None, _TO_START)
            if not self._ready:
                raise RuntimeError(self.log[-1] if self.log else "it says nothing")
        except BaseException:
            self.kill()
            raise
        self.listeners = self._ready.split(", ")
        self.host, self.port = _placeOf(self.listeners)
        self._started = self.pids
        self._before = self._descriptors()

    @property
    def log(self) -> list[str]:
        """
        The lines that it has logged so far.
        """
        if self._isOver:
            return self._said
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode(errors="replace").splitlines()

    @property
    def _ready(self) -> str:
        found = filter(None, map(_READY.search, self.log))
        return next((one[1] for one in found), "")

    @property
    def target(self) -> str:
        """
        The target of ``echoprobe`` for it: all listeners with a port, or its first listener.
        """
        targets = [_targetOf(one) for one in self.listeners]
        places = {one.removeprefix("tcp:").removeprefix("udp:") for one in targets}
        return places.pop() if len(targets) == 2 and len(places) == 1 else targets[0]

    @property
    def pids(self) -> list[int]:
        """
        The process identifiers of the service and its workers.
        """
        own = self.process.pid
        with suppress(OSError):
            children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
            return [own, *map(int, children)]
        return [own]

    def _descriptors(self) -> Counter[str]:
        """
        Count its open descriptors, without connections that a peer also has open.
        """
        found: Counter[str] = Counter()
        for pid in self._started:
            open = _openSockets(pid)
            with suppress(OSError):
                for number in os.listdir(f"/proc/{pid}/fd"):
                    with suppress(OSError):
                        name = os.readlink(f"/proc/{pid}/fd/{number}")
                        found[name.partition(":")[0]] += name not in open
        return found

    def stop(self) -> list[str]:
        """
        Stop it, and check what it leaves behind.

        :return: the faults found, for a person; empty if there are none.
        """
        if self._isOver:
            return self.faults
        if self.process.poll() is not None:
            self.faults.append(f"it ended with status {self.process.returncode}")
        else:
            self._checkDescriptors()
            self._terminate()
        wrong = [line for line in self.log if _FAULT.search(line)]
        self.faults += [f"its log has: {line}" for line in wrong[:3]]
        self._close()
        return self.faults

    def _checkDescriptors(self) -> None:
        def more() -> Counter[str]:
            return self._descriptors() - self._before

        if not _waitFor(lambda: not more(), _TO_CLOSE):
            said = ", ".join(f"{count} of {name}" for name, count in more().items())
            self.faults.append(f"it leaves descriptors open: {said}")

    def _terminate(self) -> None:
        children = {pid: _startOf(pid) for pid in self.pids[1:]}
        self.process.terminate()
        try:
            status = self.process.wait(_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
            self.faults.append(f"it did not stop in {_TO_END:g} s")
        else:
            if status:
                self.faults.append(f"it stopped with status {status}")
        left = [pid for pid, start in children.items() if start and _startOf(pid) == start]
        if left:
            self.faults.append(f"it leaves processes: {', '.join(map(str, left))}")

    def kill(self) -> None:
        """
        Kill it, as a crash would; that does not count as a fault of the service.
        """
        if not self._isOver:
            self.process.kill()
            self.process.wait()
            self._close()

    def _close(self) -> None:
        self._said = self.log
        self._isOver = True
        self._output.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


def _waitFor(done: Callable[[], bool], seconds: float) -> bool:
    """
    Wait for a condition, by asking again and again.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _placeOf(listeners: list[str]) -> tuple[str, int]:
    for one in listeners:
        if found := re.search(r" \[?([^\s\[\]]*?)\]?:(\d+)", one):
            return found[1], int(found[2])
    return "", 0


def _targetOf(listener: str) -> str:
    kind, _, place = listener.rpartition(" ")
    return f"{kind.lower().replace(' ', '-')}:{place}"


def _openSockets(pid: int) -> set[str]:
    """
    Return the names of descriptors of connections that a peer has open (proc_net_tcp.txt,
    proc_pid_net(5)).
    """
    found = set()
    for table, state, inode in (("tcp", 3, 9), ("tcp6", 3, 9), ("unix", 5, 6)):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[state] in (_OPEN if inode == 9 else {_CONNECTED}):
                    found.add(f"socket:[{words[inode]}]")
    return found


def _startOf(pid: int) -> str:
    """
    Return when a process began, unless it has ended (proc_pid_stat(5)).
    """
    with suppress(OSError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if words[0] == "Z" else words[19]
    return ""
