"""
A measurement, drawn into a file.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe import drawing
from echotwist.probe import plot as module
from echotwist.probe.command import run
from echotwist.probe.events import Event
from echotwist.probe.plot import Plot, Points, Series
from tests.support.live import PATIENCE, ROOT
from tests.support.probing import WELL, Misbehaving, probe
from tests.support.watching import fileOf

#: Runs the probe as if matplotlib were not installed.
WITHOUT = """
import runpy, sys
sys.modules["matplotlib"] = None
runpy.run_module("echotwist.probe", run_name="__main__")
"""


#: Draws without end, and says when it begins.
DRAWING = """
import runpy, sys
from echotwist.probe import drawing
def draw(*words):
    print("drawing", file=sys.stderr, flush=True)
    while True:
        pass
drawing.Drawing._drawn = draw
runpy.run_module("echotwist.probe", run_name="__main__")
"""


class PointsTests(SynchronousTestCase):
    """
    Tests for :class:`Points`.
    """

    def test_thinned(self) -> None:
        """
        However many points there are, few are kept, from beginning to end.
        """
        self.patch(module, "_KEPT", 64)
        points = Points()
        for at in range(10_000):
            points.add(at, 2 * at)
        self.assertLess(len(points.at), 64)
        self.assertEqual(list(points.at), list(range(0, 10_000, points.step)))
        self.assertEqual(list(points.values), [2 * at for at in points.at])

    def test_bounded(self) -> None:
        """
        However long a target is watched, few of its round trips are kept.
        """
        self.patch(module, "_KEPT", 64)
        series = Series()
        for number in range(1, 10_000):
            series.add(Event(number, number, "back", number))
        self.assertEqual(series.spread.count, 9999)
        self.assertLess(len(series.spread._values), 200)


@pytest.mark.parametrize("command", [["--rate=500"], ["load"]])
def test_drawn(command: list[str], tmp_path: Path) -> None:
    """
    An SVG file has text that can be read: target, counts, times and percentiles; and marks
    of losses. It is small.
    """
    place = tmp_path / "found.svg"
    with Misbehaving(lambda did, number, data: [(0, data)] * (number % 100 > 0)) as service:
        words = [*command, service.target, "--count=400", "--timeout=1", f"--plot={place}"]
        done = probe(*(words if command == ["load"] else words[1:] + words[:1]))
    assert (done.returncode in WELL, done.stderr) == (True, "")
    assert "400 sent, 396 back, 4 lost" in done.stdout
    texts = {text.text for text in ET.parse(place).iter() if text.tag.endswith("text")}
    assert f"{service_of(done.stdout)}: 400 sent, 4 lost" in texts
    assert {"seconds", "ms", "lost", "share of RTT"} <= texts
    assert any(text.startswith("p99 ") for text in texts if text)
    assert place.stat().st_size < 200_000


def test_named(tmp_path: Path) -> None:
    """
    Targets of a watch are drawn by their names, whatever letters these have; of many, the
    first hundred.
    """
    place = tmp_path / "found.svg"
    with Misbehaving(lambda did, number, data: [(0, data)]) as service:
        path = fileOf(tmp_path, f"a_$\\frac 測={service.target}")
        done = probe("watch", str(path), "--count=5", "--interval=0.1", f"--plot={place}")
    assert (done.returncode in WELL, done.stderr) == (True, "")
    texts = {text.text for text in ET.parse(place).iter() if text.tag.endswith("text")}
    assert "a_$\\frac 測: 5 sent, 0 lost" in texts
    assert any(text.startswith("p99 ") for text in texts if text)


def test_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of many targets the first ones are drawn, and the picture says so.
    """
    monkeypatch.setattr(drawing, "ROWS", 2)
    place = tmp_path / "found.svg"
    lost = {"count": 0}
    results = [
        {"target": f"udp:{n}", "sent": 0, "lost": lost, "beganNs": 0, "clock": "kernel"}
        for n in range(3)
    ]
    Plot(str(place)).write(results)
    texts = {one.text for one in ET.parse(place).iter() if one.tag.endswith("text")}
    assert {"the first 2 of 3", "udp:1: 0 sent, 0 lost"} <= texts
    assert "udp:2: 0 sent, 0 lost" not in texts


def service_of(said: str) -> str:
    """
    Return the target that a report is about.
    """
    return said.split(" ", 1)[0]


def test_png(tmp_path: Path) -> None:
    """
    A PNG file is one, also where nothing came back.
    """
    place = tmp_path / "found.PNG"
    with Misbehaving(lambda did, number, data: []) as service:
        done = probe(service.target, "--count=2", "--rate=50", "--timeout=0.2", f"--plot={place}")
    assert (done.returncode, done.stderr) == (3, "")
    head = place.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:])
    assert 2 < width / height < 4


def test_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    What cannot be drawn is told before anything is measured.
    """
    for path, said in {
        "found.pdf": "--plot found.pdf: it ends neither in .svg nor in .png",
        "/nonesuch/a.svg": "--plot /nonesuch/a.svg: No such file or directory (errno 2)",
        "/proc/a.png": "--plot /proc/a.png: No such file or directory (errno 2)",
    }.items():
        for command in ([], ["load"]):
            assert run([*command, "udp:127.0.0.1:9", "--count=1", f"--plot={path}"]) == 2
            assert capsys.readouterr() == ("", f"echoprobe: {said}\n")
    os.mkfifo(tmp_path / "a.svg")
    assert run(["udp:127.0.0.1:9", f"--plot={tmp_path}/a.svg"]) == 2
    said = f"--plot {tmp_path}/a.svg: No such device or address (errno 6)"
    assert capsys.readouterr() == ("", f"echoprobe: {said}\n")
    os.unlink(tmp_path / "a.svg")
    assert run(["udp:nonesuch.invalid", f"--plot={tmp_path}/a.svg"]) == 2
    assert not list(tmp_path.iterdir())
    words = ["udp:127.0.0.1:9", f"--plot={tmp_path}/a.svg"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    hint = "pip install 'echotwist[probe]'"
    said = f"echoprobe: --plot {tmp_path}/a.svg: drawing needs matplotlib: {hint}\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_full() -> None:
    """
    When the file takes no more in the end, what was found is printed all the same.
    """
    with Misbehaving(lambda did, number, data: [(0, data)]) as service:
        link = Path("/dev/shm/full.svg")
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/full")
        try:
            done = probe(service.target, "--count=2", "--rate=50", f"--plot={link}")
        finally:
            link.unlink()
    assert done.returncode == 4
    assert "2 sent, 2 back" in done.stdout
    said = f"echoprobe: cannot write: --plot {link}: No space left on device (errno 28)\n"
    assert done.stderr == said


@pytest.mark.parametrize("command", ["ping", "idle", "watch"])
def test_interrupted(tmp_path: Path, command: str) -> None:
    """
    ^C while a plot is drawn ends the process at once, with one line; what was found is
    told before, and a file that was there before is as it was.
    """
    place = tmp_path / "found.svg"
    place.write_text("before")
    with Misbehaving(lambda did, number, data: [(0, data)]) as service:
        few = {
            "ping": [service.target, "--count=2"],
            "idle": [service.target, "--longest=0.1", "--first=0.1", "--only=once"],
            "watch": [str(fileOf(tmp_path, service.target)), "--count=2"],
        }
        words = [sys.executable, "-c", DRAWING, command, *few[command], f"--plot={place}"]
        with subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            told = next(line for line in process.stderr if line == "drawing\n")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, told) == (128 + signal.SIGINT, "drawing\n")
    assert err == f"echoprobe: --plot {place}: interrupted, not drawn\n"
    assert "127.0.0.1" in out
    assert place.read_text() == "before"
