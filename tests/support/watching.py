"""
A watch that runs, and the file that it is given.
"""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.forks import PROGRAM
from tests.support.live import PATIENCE, ROOT, freePort, waitUntil

#: Where nobody listens (tcpmux).
NOBODY = "udp:127.0.0.1:1"


def fileOf(tmp_path: Path, *targets: str, common: str = "") -> Path:
    """
    Write a file of targets, each ``NAME=TARGET`` or a target alone.
    """
    lines = [common]
    for one in targets:
        name, equals, target = one.rpartition("=")
        lines += ["[[target]]", f"to = '{target}'", f"name = '{name}'" if equals else ""]
    path = tmp_path / "targets.toml"
    path.write_text("\n".join(lines))
    return path


class Watching:
    """
    A watch that runs, with its metrics.
    """

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def page(self, path: str) -> str:
        """
        Get a page.
        """
        url = f"http://127.0.0.1:{self.port}/{path}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as reply:
            return str(reply.read().decode())

    def isReady(self) -> bool:
        """
        Tell whether all targets are watched.
        """
        with suppress(OSError):
            return self.page("readyz") == "ready\n"
        return False

    def values(self, name: str) -> dict[str, float]:
        """
        Return the values of a metric, by the names of targets, and by the cause of losses.
        """
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self.page("metrics")):
            for one in family.samples:
                if one.name == f"echoprobe_{name}":
                    labels = [one.labels.get(key, "") for key in ("name", "cause", "result")]
                    found[" ".join(filter(None, labels))] = one.value
        return found

    def waitFor(self, what: Callable[[], object]) -> None:
        """
        Wait until something is so.
        """
        waitUntil(lambda: bool(what()), "the watch gets there")


@contextmanager
def watching(
    path: Path, *words: str, before: Sequence[str] = (), stdin: int | None = None
) -> Iterator[Watching]:
    """
    Have a watch run.

    :param before: the words of a command that starts it.
    :param stdin: its standard input, if not that of this process.
    """
    port = freePort()
    endpoint = f"tcp:{port}:interface=127.0.0.1"
    process = subprocess.Popen(
        [*before, *PROGRAM, "watch", str(path), f"--metrics={endpoint}", *words],
        cwd=ROOT,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        running = Watching(process, port)
        running.waitFor(running.isReady)
        yield running
    finally:
        process.kill()
        process.communicate()
