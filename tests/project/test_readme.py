"""
README is short and true.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.live import BIN, PATIENCE, ROOT, Server
from tests.support.transcripts import matches, transcripts

README = (ROOT / "README.rst").read_text("utf-8")

#: Lines that README may have.
MOST_LINES = 130

#: A link of README: its text and where it leads.
LINK = re.compile(r"`([^`<]+) <([^>]+)>`__?")


def test_short() -> None:
    """
    README has at most 130 lines, and the probe is on its first screen.
    """
    lines = README.splitlines()
    assert len(lines) <= MOST_LINES
    assert any("echoprobe" in line for line in lines[:25])


def test_links() -> None:
    """
    Each link leads to a file of this project or to another host.
    """
    links = LINK.findall(README)
    assert len(links) > 15
    assert [to for _, to in links if "://" not in to and not (ROOT / to).is_file()] == []


def test_commands() -> None:
    """
    The two commands that CI runs are there, and the first stays in the foreground.
    """
    run, test = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)
    assert "twistd -n echo" in run
    assert test.endswith("pytest")
    searched = re.findall(r"sed -n 's/(.*?)/\\1/p'", (ROOT / ".ci" / "run").read_text())
    patterns = [one.replace(r"\(", "(").replace(r"\)", ")") for one in searched[:2]]
    found = [re.findall(pattern, README, re.MULTILINE) for pattern in patterns]
    assert found == [[run], [test]]


#: Commands of pages that are run, with words that keep a busy machine from failing them.
PATIENT = {"nc -u -w1": "nc -u -W1 -w60", "--rate 10": "--rate 10 --timeout 60"}


@pytest.mark.parametrize("page", ["README.rst", "docs/start.rst", "docs/index.rst"])
def test_transcripts(page: str, tmp_path: Path) -> None:
    """
    What the page shows of a plain service on port 1234 is what a client gets.
    """
    asked = [(command, said) for command, said in transcripts(ROOT / page) if said]
    asked = [one for one in asked if "telnet" not in one[0] and "You said" not in one[1]]
    assert asked
    with Server([BIN / "twistd", "-n", "--pidfile=", "echo", "--port=0"], tmp_path) as server:
        for command, said in asked:
            for words, others in PATIENT.items():
                command = command.replace(words, others)
            command = command.replace("1234", str(server.port)).replace("venv/bin", str(BIN))
            done = subprocess.run(
                command, shell=True, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
            assert matches(said, done.stdout), f"{command}: {done.stdout}{done.stderr}"
