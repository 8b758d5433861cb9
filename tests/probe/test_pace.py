"""
How fast one process can probe.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live import PATIENCE, Server, figures, ours
from tests.support.probing import PROGRAM, WELL

pytestmark = pytest.mark.slow

#: System calls that read.
READING = ("recvfrom", "recvmmsg", "recvmsg")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """
    The service.
    """
    with ours(tmp_path_factory.mktemp("service")) as server:
        yield server


def test_reading(service: Server, tmp_path: Path) -> None:
    """
    One system call reads both stamps of a probe, and one its reply, or several.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    table, count = tmp_path / "calls", 2000
    words = [f"udp:127.0.0.1:{service.port}", "--rate=1000", f"--count={count}", "--timeout=30"]
    traced = ["strace", "-f", "-c", "-e", f"trace={','.join(READING)}", "-o", str(table)]
    done = subprocess.run(
        [*traced, *PROGRAM, *words, "--json"], capture_output=True, text=True, timeout=2 * PATIENCE
    )
    if "ptrace" in done.stderr:
        pytest.skip(f"strace cannot trace: {done.stderr.strip()}")
    assert done.returncode in WELL, done.stderr
    assert json.loads(done.stdout)["results"][0]["sent"] == count
    rows = (line.split() for line in table.read_text().splitlines())
    calls = {row[-1]: int(row[3]) for row in rows if row and row[-1] in READING}
    assert 0 < sum(calls.values()) < 2.3 * count, calls


def test_lateness(service: Server) -> None:
    """
    Of 10,000 probes a second each is accounted for; how late they were is told.
    """
    words = ["--rate=10000", "--duration=3", "--timeout=10", "--json"]
    done = subprocess.run(
        [*PROGRAM, f"udp:127.0.0.1:{service.port}", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode in WELL, done.stdout + done.stderr
    [found] = json.loads(done.stdout)["results"]
    assert found["sent"] + found["skipped"] == 30_000
    assert found["back"] + found["late"] + found["lost"]["count"] == found["sent"]
    late = found["latenessNs"]
    figures.append(
        f"probe: of 10,000 a second for 3 s half were sent {late['median'] / 1000:.0f} µs late "
        f"or less, 99 of 100 {late['p99'] / 1000:,.0f} µs"
    )
