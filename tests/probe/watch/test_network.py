"""
A watch between two hosts, whose network goes away and comes back.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.live import PATIENCE, ROOT, waitUntil
from tests.support.namespaces import WIRE, Namespace, join, pair
from tests.support.probing import PROGRAM
from tests.support.watching import fileOf

pytestmark = [pytest.mark.oneWay, pytest.mark.slow]

#: Probes a second.
RATE = 20

#: What may become of a probe.
FATES = {("back",), ("lost",), ("late",), ("lost", "late")}


class Told:
    """
    What a watch tells of each probe, line by line.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.rows: list[dict[str, Any]] = []
        self._process = process
        self._thread = Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            self.rows.extend(map(json.loads, lines))

    def counted(self, outcome: str) -> Counter[str]:
        """
        Count the probes of each target that had an outcome.
        """
        return Counter(row["target"] for row in [*self.rows] if row["outcome"] == outcome)

    def fates(self) -> dict[tuple[str, int], tuple[tuple[str, ...], str]]:
        """
        Return what became of each probe, and why it was lost.
        """
        found: dict[tuple[str, int], tuple[tuple[str, ...], str]] = {}
        for row in self.rows:
            key = row["target"], row["number"]
            outcomes, reason = found.get(key, ((), ""))
            found[key] = (*outcomes, row["outcome"]), reason + (row["reason"] or "")
        return found

    def waitForMore(self, outcome: str, *names: str) -> None:
        """
        Wait until more probes of some targets have an outcome.
        """
        before = self.counted(outcome)
        waitUntil(
            lambda: all(self.counted(outcome)[name] > before[name] + 5 for name in names),
            f"more of {outcome}",
        )

    def end(self) -> None:
        """
        End the watch.
        """
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)
        self._thread.join(PATIENCE)


@contextmanager
def told(host: Namespace, path: Path) -> Iterator[Told]:
    """
    Have a watch run on a host.
    """
    words = ["watch", str(path), f"--rate={RATE}", "--timeout=0.3", "--jsonl"]
    with host.inside():
        process = subprocess.Popen([*PROGRAM, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield Told(process)
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_interface(tmp_path: Path) -> None:
    """
    While the network interface is down, or there is none, no probe is answered.  After
    that they are, also where the new one has another address, so that the connection and
    the sockets bound to the old one are dead.  Each probe is one thing in the end, and as
    many left as the kernel has sent.
    """
    with pair() as hosts, hosts.near.ours(tmp_path) as service:
        near, far = hosts
        place = f"{near.v4}:{service.port}"
        path = fileOf(tmp_path, f"udp=udp:{place}", f"tcp=tcp:{place}", f"bound=udp:{place}")
        path.write_text(f"{path.read_text()}\ninterface = '{WIRE}'")
        names = ("udp", "tcp", "bound")
        before = far.sentDatagrams(), near.sentDatagrams()

        def away(go: Callable[[], None], comeBack: Callable[[], None]) -> None:
            watch.waitForMore("back", *names)
            go()
            watch.waitForMore("lost", *names)
            comeBack()
            watch.waitForMore("back", *names)

        def up() -> None:
            far.ip("link", "set", WIRE, "up")
            far.ip("neigh", "replace", near.v4, "lladdr", near.mac.hex(":"), "dev", WIRE)

        def anew() -> None:
            far.v4 = "10.99.0.3"
            join(near, far)

        with told(far, path) as watch:
            away(lambda: far.ip("link", "set", WIRE, "down"), up)
            away(lambda: far.ip("link", "del", WIRE), anew)
            watch.end()
        sent, answered = far.sentDatagrams() - before[0], near.sentDatagrams() - before[1]
    fates = watch.fates()
    for name in names:
        numbers = sorted(number for target, number in fates if target == name)
        assert numbers == list(range(1, len(numbers) + 1))
    assert {outcomes for outcomes, _ in fates.values()} <= FATES
    # A datagram that left has no error of the system for a reason.
    left = [fate for (name, _), fate in fates.items() if name != "tcp" and "errno" not in fate[1]]
    assert len(left) == sent
    assert sum("lost" not in outcomes for outcomes, _ in left) <= answered <= sent
