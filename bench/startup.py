"""
How long it takes until a server answers.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.process import Cores, runningOn
from bench.rounds import Results
from bench.rows import STARTUP
from bench.servers import BIN, PATIENCE, NotStarted

#: What follows ``twistd -n``, by name.
APPLICATIONS: Mapping[str, Sequence[str]] = {
    "twistd -n echo": ["echo", "--port={port}"],
    "twistd -n web": ["web", "--listen=tcp:{port}"],
}


def _freePort() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def seconds(words: Sequence[str], cores: Cores) -> float:
    """
    Start an application of twistd, and stop it.

    :return: seconds until it accepted a connection.
    :raise NotStarted: when it never does.
    """
    port = _freePort()
    command = [str(BIN / "twistd"), "-n", "--pidfile=", *(word.format(port=port) for word in words)]
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("wb") as log:
        began = time.monotonic()
        with runningOn(cores.server):
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            while not _accepts(port):
                if process.poll() is not None or time.monotonic() - began > PATIENCE:
                    raise NotStarted(f"twistd {words[0]} does not start")
                time.sleep(0.001)
            return time.monotonic() - began
        finally:
            process.kill()
            process.wait()


def run(results: Results, rounds: int, cores: Cores) -> None:
    """
    Start each once in every round, in turns.

    The first round, which fills caches, does not count.

    :param results: get what is found.
    """
    for number in range(-1, rounds):
        names = list(APPLICATIONS)
        for name in names if number % 2 else reversed(names):
            try:
                took = seconds(APPLICATIONS[name], cores)
            except NotStarted as error:
                results.faults.append(str(error))
                continue
            if number >= 0:
                results.add(STARTUP, name, {"seconds": took})
