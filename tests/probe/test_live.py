"""
How a measurement stands, in a terminal.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.support.live import PATIENCE, ROOT
from tests.support.probing import PROGRAM, WELL, Misbehaving

#: Runs the probe as if rich were not installed.
WITHOUT_RICH = """
import runpy, sys
sys.modules["rich"] = None
runpy.run_module("echotwist.probe", run_name="__main__")
"""

#: What sets a colour (ECMA-48, SGR); what moves the cursor up or hides it.
COLOUR, MOVES = re.compile(r"\x1b\[(?:\d+;)*[34]\d(?:;\d+)*m"), re.compile(r"\x1b\[(?:1A|\?25l)")


def shown(
    *words: str, columns: int = 80, stdout: int | None = None, **environment: str
) -> tuple[str, int]:
    """
    Run a command in a terminal.

    :param stdout: where its output goes, if not there.
    :return: what the terminal was sent, and the status.
    """
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    running = subprocess.Popen(
        words,
        cwd=ROOT,
        stdin=far,
        stdout=far if stdout is None else stdout,
        stderr=far,
        env={**known, "TERM": "xterm", **environment},
    )
    os.close(far)
    said = b""
    while True:
        try:
            more = os.read(near, 10_000)
        except OSError:  # All ends are closed.
            break
        if not more:
            break
        said += more
    os.close(near)
    return said.decode(), running.wait(PATIENCE)


def lossy() -> Misbehaving:
    """
    Begin a service that answers two of three.
    """
    return Misbehaving(lambda did, number, data: [(0, data)] * (number % 3 > 0))


WORDS = ("--count=60", "--rate=40", "--timeout=0.7")


@pytest.mark.parametrize("columns", [80, 200])
def test_rich(columns: int) -> None:
    """
    With rich there is a block with counts, times and bars, in colour; it fits the terminal,
    and in the end only what was found is left.
    """
    with lossy() as service:
        said, status = shown(*PROGRAM, service.target, *WORDS, columns=columns)
    assert status in WELL
    live, _, rest = said.rpartition("\x1b[?25h")
    assert re.search(r"\d+ sent, \d+ back", live)
    assert re.search(r"\d+ lost \(\S+ %\)", live)
    assert re.search(r"RTT of the last \d+, ms:  last \S+  median", live)
    assert COLOUR.search(live)
    assert not COLOUR.search(rest)
    plain = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", said)
    assert max(map(len, re.split("[\r\n]+", plain))) <= columns
    assert "60 sent, 40 back, 20 lost" in rest


def test_noColour() -> None:
    """
    With NO_COLOR there is no colour.
    """
    with lossy() as service:
        said, _ = shown(*PROGRAM, service.target, *WORDS, NO_COLOR="1")
    assert MOVES.search(said)
    assert not COLOUR.search(said)


def test_line() -> None:
    """
    Without rich there is one line, without colour.
    """
    with lossy() as service:
        words = (sys.executable, "-c", WITHOUT_RICH, service.target, *WORDS)
        said, status = shown(*words)
        target = service.target
    assert status in WELL
    assert re.search(rf"\r{target} \d+ sent, \d+ back.*\x1b\[K", said)
    assert not COLOUR.search(said)
    assert not MOVES.search(said)


def test_dumb() -> None:
    """
    A terminal that can only print is only printed to, in the end.
    """
    with lossy() as service:
        said, _ = shown(*PROGRAM, service.target, *WORDS, TERM="dumb")
        assert said.startswith(service.target)
    assert "\x1b" not in said


def test_beside(tmp_path: Path) -> None:
    """
    When the output goes into a file, the terminal still shows how it stands, and the file
    has nothing of it.
    """
    place = tmp_path / "found"
    with lossy() as service, place.open("wb") as file:
        said, _ = shown(*PROGRAM, service.target, *WORDS, "--json", stdout=file.fileno())
    assert "RTT of the last" in said
    assert json.loads(place.read_text())["results"][0]["sent"] == 60


def test_piped() -> None:
    """
    What is piped has neither colours nor a view, whatever else is asked for.
    """
    with lossy() as service:
        done = subprocess.run(
            [*PROGRAM, service.target, *WORDS],
            cwd=ROOT,
            capture_output=True,
            timeout=PATIENCE,
            env={**os.environ, "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"},
        )
    assert b"\x1b" not in done.stdout + done.stderr


def test_imports() -> None:
    """
    Without a terminal and without ``--plot`` neither rich nor matplotlib is imported.
    """
    code = """
import runpy, sys
sys.modules["rich"] = sys.modules["matplotlib"] = None
runpy.run_module("echotwist.probe", run_name="__main__")
"""
    with lossy() as service:
        for words in (["--help"], [service.target, *WORDS], ["load", service.target, "-c", "20"]):
            words = [sys.executable, "-c", code, *words]
            done = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=PATIENCE)
            assert (done.returncode in WELL, done.stderr) == (True, b"")
