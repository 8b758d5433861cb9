"""
A watch between two hosts, whose network goes away and comes back.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path
from threading import Thread

import pytest

from tests.support.live import PATIENCE, ROOT, waitUntil
from tests.support.namespaces import WIRE, pair
from tests.support.probing import PROGRAM
from tests.support.watching import fileOf

pytestmark = [pytest.mark.oneWay, pytest.mark.slow]

#: Probes a second.
RATE = 20


def test_interface(tmp_path: Path) -> None:
    """
    While the network interface is down probes never leave, or are not answered; after it
    is up again they are, over UDP and TCP; each is one thing in the end.
    """
    with pair() as hosts, hosts.near.ours(tmp_path) as service:
        place = f"{hosts.near.v4}:{service.port}"
        path = fileOf(tmp_path, f"udp=udp:{place}", f"tcp=tcp:{place}")
        words = ["watch", str(path), f"--rate={RATE}", "--timeout=0.5", "--jsonl"]
        with hosts.far.inside():
            process = subprocess.Popen(
                [*PROGRAM, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
        rows: list[dict[str, str]] = []

        def read() -> None:
            assert process.stdout is not None
            with process.stdout as lines:
                rows.extend(map(json.loads, lines))

        def counted(outcome: str) -> Counter[str]:
            return Counter(row["target"] for row in [*rows] if row["outcome"] == outcome)

        def more(outcome: str) -> None:
            before = counted(outcome)
            waitUntil(
                lambda: all(counted(outcome)[name] > before[name] + 5 for name in ("udp", "tcp")),
                f"more of {outcome}",
            )

        thread = Thread(target=read)
        thread.start()
        try:
            more("back")
            hosts.far.ip("link", "set", WIRE, "down")
            more("lost")
            hosts.far.ip("link", "set", WIRE, "up")
            mac = hosts.near.mac.hex(":")
            hosts.far.ip("neigh", "replace", hosts.near.v4, "lladdr", mac, "dev", WIRE)
            more("back")
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        finally:
            process.kill()
            thread.join(PATIENCE)
    for name in ("udp", "tcp"):
        own = [row for row in rows if row["target"] == name]
        firsts = [row["number"] for row in own if row["outcome"] in ("back", "lost")]
        assert len(firsts) == len(set(firsts))
