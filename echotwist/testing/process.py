"""
A service in a process of its own, and what it leaves behind.
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

#: Seconds for a service to start, to end, and to close what it needs no more.
_TO_START, _TO_END, _TO_CLOSE = 60.0, 30.0, 5.0

#: The last line of a start, and a line that should not be there.
_READY = re.compile(r"#info\] echo on (.*?)(?:; \d+ workers)?$")
_FAULT = re.compile(r"#(?:error|critical)\]|Traceback \(most recent call last\)|Unhandled")

#: States of connections that a peer has open, or is about to close (``tcp_states.h``), and
#: of a UNIX socket that is connected (``net.h``).
_OPEN, _CONNECTED = {"01", "02", "03", "04", "05"}, "03"


class EchoProcess:
    """
    A running echo service.

    :param words: of its command line.
    :raise RuntimeError: it does not start; the text is its last line.
    :ivar process: of it.
    :ivar listeners: what it says of its listeners, such as ``TCP 127.0.0.1:1234``.
    :ivar host: the address of the first one that has a port; and that port, or 0.
    """

    def __init__(self, words: list[str]) -> None:
        self._output = TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "echotwist.testing", *words],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,  # ^C is for the tests.
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
        The lines that it has said until now.
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
        What ``echoprobe`` calls it: all of it that has a port, or its first listener.
        """
        targets = [_targetOf(one) for one in self.listeners]
        places = {one.removeprefix("tcp:").removeprefix("udp:") for one in targets}
        return places.pop() if len(targets) == 2 and len(places) == 1 else targets[0]

    @property
    def pids(self) -> list[int]:
        """
        The numbers of its processes.
        """
        own = self.process.pid
        with suppress(OSError):
            children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
            return [own, *map(int, children)]
        return [own]

    def _descriptors(self) -> Counter[str]:
        """
        Count what it has open, but for connections that a peer has open as well.
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
        Stop it, and see what it leaves behind.

        :return: what is wrong, for a person; nothing if all is well.
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
        End it as a crash does; that is no fault of it.
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
    Wait for something that sends no word when it has happened.
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
    Give the names of descriptors of connections that a peer has open (proc_net_tcp.txt,
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
    Tell when a process began, unless it has ended (proc_pid_stat(5)).
    """
    with suppress(OSError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if words[0] == "Z" else words[19]
    return ""
