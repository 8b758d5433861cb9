"""
The probe against our own service that misbehaves on purpose, and counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.metrics import Watched
from tests.support.probing import measured


@pytest.mark.parametrize(
    ("impair", "effect", "found"),
    [
        ("loss=10%,seed=7", "lost", ("lost", "unanswered")),
        ("loss=gilbert:5%:40%,seed=7", "lost", ("lost", "count")),
        ("duplicate=10%,seed=7", "duplicated", ("twice",)),
        ("reorder=10%,delay=20ms,seed=7", "reordered", ("reordered", "count")),
        ("corrupt=3e-4,seed=7", "corrupted", ("damaged",)),
        ("truncate=40", "truncated", ("damaged",)),
    ],
)
def test_counts(tmp_path: Path, impair: str, effect: str, found: tuple[str, ...]) -> None:
    """
    What the probe found is what the service says it did, exactly.
    """
    watched = Watched(tmp_path, f"--impair={impair}")
    with watched.server:
        words = ("--count=500", "--rate=1000", "--timeout=5")
        value: Any = measured(f"udp:127.0.0.1:{watched.server.port}", *words)
        for key in found:
            value = value[key]
        counts = watched.samples()
    assert value == counts["echotwist_impaired_datagrams_total", effect, "udp"] > 0


def test_together(tmp_path: Path) -> None:
    """
    All at once is told apart, exactly.  A reply whose number is damaged counts as none of
    ours; with a copy, the probe is back all the same.
    """
    impair = "loss=gilbert:5%:40%,duplicate=20%,reorder=5%,delay=20ms,corrupt=1e-3,seed=4"
    watched = Watched(tmp_path, f"--impair={impair}")
    with watched.server:
        words = ("--count=500", "--rate=1000", "--timeout=5")
        found = measured(f"udp:127.0.0.1:{watched.server.port}", *words)
        counts = watched.samples()
    did = {
        effect: counts.get(("echotwist_impaired_datagrams_total", effect, "udp"), 0)
        for effect in ("lost", "duplicated", "reordered", "corrupted")
    }
    assert min(did.values()) > 0
    assert found["lost"]["count"] == did["lost"]
    assert found["twice"] + found["strange"] == did["duplicated"]
    assert found["damaged"] + found["strange"] == did["corrupted"]
    assert found["reordered"]["count"] == did["reordered"]
