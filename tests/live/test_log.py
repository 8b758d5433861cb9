"""
The reader of the log cannot stop the service.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.live import BIN, PATIENCE, waitUntil
from tests.support.rules import asking

pytestmark = pytest.mark.oneWay

#: Datagrams, of which each is a line of the log: more than pipes take.
MANY = 500

#: Bytes that the pipe of the log takes.
ROOM = 16_384

TWISTD = ["twistd", "--nodaemon", "--pidfile="]
COMMANDS = {
    "twistd": [*TWISTD, "echo"],
    "twist": ["twist", "echo"],
    "text": ["twist", "--log-format=text", "--log-file=+", "echo"],
    "named": ["twist", "--log-format=text", "--log-file=/dev/stderr", "echo"],
    "workers": [*TWISTD, "echo", "--workers=2"],
    "asyncio": [*TWISTD, "--reactor=asyncio", "echo"],
}


class Logging:
    """
    A service that logs each datagram to a pipe.

    :ivar log: what has been read of it so far.
    """

    def __init__(self, folder: Path, command: list[str]) -> None:
        self._here, there = os.pipe()
        fcntl.fcntl(there, fcntl.F_SETPIPE_SZ, ROOM)
        words = [str(BIN / command[0]), *command[1:], "--verbose", "--port=0"]
        self.process = psutil.Popen(words, cwd=folder, stdout=there, stderr=there)
        os.close(there)
        self.log = ""
        while not (said := re.search(r"UDP \[::\]:(\d+)", self.log)):
            assert self._read(), self.log
        os.set_blocking(self._here, False)
        self._client = asking(int(said[1]))
        self._asked = 0

    def _read(self) -> bool:
        """
        Read some of the log, unless it has ended.
        """
        data = os.read(self._here, 65_536)
        self.log += data.decode()
        return bool(data)

    def ask(self, times: int = 1) -> None:
        """
        Have it answer so many datagrams.
        """
        for _ in range(times):
            datagram = f"datagram {self._asked}".encode()
            self._client.send(datagram)
            assert self._client.recv(100) == datagram
            self._asked += 1

    def tellsOfDrops(self) -> bool:
        """
        Read what there is; unless it tells of all that is missing, have it log one line
        more.
        """
        with suppress(BlockingIOError):
            while self._read():
                pass
        if self.missing() == self.told() > 0:
            return True
        self.ask()
        return False

    def told(self) -> int:
        """
        Count the lines of which it tells that it dropped them.
        """
        told = re.findall(r'(\d+)(?= log lines dropped)|"lines": (\d+)', self.log)
        return sum(int(text or json) for text, json in told)

    def missing(self) -> int:
        """
        Tell how many datagrams the log does not have.
        """
        return self._asked - len(set(re.findall(r"\bdatagram (\d+)\b", self.log)))

    def leave(self) -> None:
        """
        Read the log no more.
        """
        os.close(self._here)
        self._here = -1

    def end(self) -> None:
        """
        Have it end, with all that there is to read of the log.
        """
        self.process.terminate()
        if self._here >= 0:
            os.set_blocking(self._here, True)
            while self._read():
                pass
        assert self.process.wait(PATIENCE) == 0

    def close(self) -> None:
        """
        End it by force, if need be.
        """
        if self.process.is_running():
            self.process.kill()
        self.process.wait()
        self._client.close()
        if self._here >= 0:
            os.close(self._here)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_unread(tmp_path: Path, command: list[str]) -> None:
    """
    Lines that are not read are dropped and counted, to the last line; each line that is
    there is whole.
    """
    with closing(Logging(tmp_path, command)) as service:
        service.ask(MANY)
        waitUntil(service.tellsOfDrops, "it tells")
        service.end()
    assert service.missing() == service.told() > 0
    for line in service.log.removesuffix("\n").split("\n"):
        assert re.match(r"\d{4}-\d\d-|\x1e\{.*\}$", line), line


def test_gone(tmp_path: Path) -> None:
    """
    A reader that has gone is like a reader that does not read.
    """
    with closing(Logging(tmp_path, COMMANDS["twistd"])) as service:
        service.leave()
        service.ask(MANY)
        service.end()


def test_stoppedParent(tmp_path: Path) -> None:
    """
    A worker goes on serving while its parent hangs.
    """
    with closing(Logging(tmp_path, COMMANDS["workers"])) as service:
        service.process.suspend()
        service.ask(MANY)
        service.process.resume()
        waitUntil(service.tellsOfDrops, "it tells")
        service.end()
