"""
Our programs, started by a process that has imported all that they need and forks.

Starting Python and importing are nine tenths of what a start costs, and the tests
start a thousand services.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from threading import Lock
from typing import IO, Any

#: Of this environment, whose programs can be started so.
_BIN = Path(sys.executable).parent

#: How ``echoprobe`` is called where it may not be installed.
PROGRAM = [sys.executable, "-W", "error", "-m", "echotwist.probe"]

#: What is read or imported late shows only in a process that started by itself.
_AFRESH = ("--chroot", "--uid", "--gid")

#: Variables that Python looks at when it starts.
_OF_PYTHON = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")

#: They install a reactor when they are imported.
_INSTALLING = ("echotwist.workers.", "echotwist.probe.__main__", "echotwist.__main__")


#: Tests start several at once, in threads.
_oneByOne = Lock()


class Fork:
    """
    A process that was forked; what is asked of a ``subprocess.Popen``.

    :param pid: of it.
    :param told: a descriptor on which its exit status comes.
    """

    def __init__(self, pid: int, told: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._told = told

    def poll(self) -> int | None:
        """
        Tell its exit status, negative for a signal, if it has ended.
        """
        self._look(0)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """
        Wait for its end.

        :raise subprocess.TimeoutExpired: it did not come.
        """
        self._look(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.returncode

    def _look(self, timeout: float) -> None:
        if self.returncode is None and select.select([self._told], [], [], timeout)[0]:
            self.returncode = int(os.read(self._told, 16))
            os.close(self._told)

    def send_signal(self, number: int) -> None:
        """
        Send it a signal, unless it is known to have ended.
        """
        with suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """
        End it.
        """
        self.send_signal(signal.SIGKILL)


def start(
    words: Sequence[str],
    cwd: Path,
    stdin: int | None = None,
    stdout: int | IO[Any] = 1,
    stderr: int | IO[Any] = 2,
) -> Fork | subprocess.Popen[bytes]:
    """
    Start a program: by a fork if it is one of ours, and nothing about it asks for more.
    """
    if not _isForked(words):
        return subprocess.Popen(words, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr)
    mine, its = os.pipe()
    streams = [0 if stdin is None else stdin, _descriptor(stdout), _descriptor(stderr), its]
    asked = json.dumps([words, str(cwd), dict(os.environ)]).encode()
    with _oneByOne:
        socket.send_fds(_server(), [asked], streams)
        pid = int(_server().recv(16))
    os.close(its)
    return Fork(pid, mine)


def _descriptor(stream: int | IO[Any]) -> int:
    return stream if isinstance(stream, int) else stream.fileno()


def run(
    words: Sequence[str],
    cwd: Path,
    timeout: float,
    prepare: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """
    Run a program to its end.

    :param prepare: is to be called in its process first.
    """
    if prepare is not None or not _isForked(words):
        return subprocess.run(
            words, cwd=cwd, capture_output=True, text=True, timeout=timeout, preexec_fn=prepare
        )
    texts = [os.memfd_create(name) for name in ("stdout", "stderr")]
    with open(texts[0], "rb") as said, open(texts[1], "rb") as faults:
        status = start(words, cwd, None, said, faults).wait(timeout)
        said.seek(0)
        faults.seek(0)
        return subprocess.CompletedProcess(
            words, status, said.read().decode(), faults.read().decode()
        )


def _isForked(words: Sequence[str]) -> bool:
    return (
        sys.platform == "linux"
        and (words[0] == str(_BIN / "twistd") or words[: len(PROGRAM)] == PROGRAM)
        and not any(word.startswith(_AFRESH) for word in words)
        and _start() == _seen()
    )


def _start() -> tuple[str, dict[str, str]]:
    """
    Return what a process has for good from its start: its network, and what Python looks at.
    """
    network = os.readlink("/proc/thread-self/ns/net")
    return network, {key: value for key, value in os.environ.items() if key.startswith(_OF_PYTHON)}


@cache
def _seen() -> tuple[str, dict[str, str]]:
    """
    Return what that was when the first was asked for.
    """
    return _start()


@cache
def _server() -> socket.socket:
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for one in (mine, its):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(its.fileno())],
            cwd=Path(__file__).parents[2],
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        mine.close()
        process.wait()

    atexit.register(end)
    return mine


def _prepare() -> None:
    """
    Import what a service needs, but nothing that would install a reactor.
    """
    from twisted.application.service import IServiceMaker
    from twisted.plugin import getPlugins

    import echotwist

    list(getPlugins(IServiceMaker))
    for module in walk_packages(echotwist.__path__, "echotwist."):
        if not f"{module.name}.".startswith(_INSTALLING):
            with suppress(ImportError):  # An extra is missing.
                import_module(module.name)
    assert "twisted.internet.reactor" not in sys.modules


class _Server:
    """
    Forks for each that is asked for, and tells what became of it.

    :param control: where they are asked for.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        #: By a descriptor that tells of its end: a process, and where to tell its status.
        self._children: dict[int, tuple[int, int]] = {}

    def serve(self) -> Sequence[str] | None:
        """
        Serve until nobody can ask any more.

        :return: the words of a program that is to run now, in a process of its own.
        """
        control = self._control.fileno()
        while True:
            for ready in select.select([control, *self._children], [], [])[0]:
                if ready in self._children:
                    self._tell(ready)
                    continue
                asked, streams, _, _ = socket.recv_fds(self._control, 2**20, 4)
                if not asked or not self._fork(streams):
                    return _become(json.loads(asked), streams) if asked else None

    def _tell(self, ended: int) -> None:
        pid, told = self._children.pop(ended)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(told, str(status).encode())
        os.close(told)
        os.close(ended)

    def _fork(self, streams: list[int]) -> int:
        pid = os.fork()
        if pid:
            for number in streams[:3]:
                os.close(number)
            self._children[os.pidfd_open(pid)] = pid, streams[3]
            self._control.send(str(pid).encode())
        else:
            self._control.close()
            for ended, (_, told) in self._children.items():
                os.close(ended)
                os.close(told)
        return pid


def _become(asked: tuple[list[str], str, dict[str, str]], streams: list[int]) -> list[str]:
    """
    Have what a new process of that name would have.
    """
    words, cwd, variables = asked
    for number, stream in enumerate(streams[:3]):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    return words


def _main() -> None:
    _prepare()
    gc.freeze()  # Else each process would look through all of it when it ends.
    words = _Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    if words:
        _run(words)


def _run(words: Sequence[str]) -> None:
    if words[0] == sys.executable:
        warnings.simplefilter("error")
        sys.argv[:] = words[len(PROGRAM) - 1 :]
        runpy.run_module(PROGRAM[-1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = words
        sys.path[0] = str(_BIN)
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    _main()
