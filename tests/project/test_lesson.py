"""
The lesson shows what a reader will see: each line of it is typed into a terminal.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.live import ROOT
from tests.support.peers import needed
from tests.support.terminals import Step, hostOfItsOwn, patternOf, play
from tests.support.transcripts import consoles

LESSON = ROOT / "docs" / "lesson"
PROGRAMS = LESSON / "programs"

#: Pages that need root or many seconds.
SLOW = {"clients", "pressure", "processor", "raw", "twisted", "udp", "wire"}

PAGES = [
    pytest.param(page, id=page.stem, marks=[pytest.mark.slow] * (page.stem in SLOW))
    for page in sorted(LESSON.glob("*.rst"))
]

#: Programs other than ours that pages call, and that a system may not have.
CALLED = ["nc", "php", "ps", "ss", "strace", "tcpdump", "telnet"]

#: A page of two terminals, where each line is as it will be.
RIGHT = """
.. code-block:: console
   :caption: Terminal 1

   $ nc -lk 127.0.0.1 1234 -v
   Listening on …

.. code-block:: console
   :caption: Terminal 2
   :emphasize-lines: 2

   $ nc -N 127.0.0.1 1234
   coucou

.. code-block:: console
   :caption: Terminal 1

   Connection received on …
   coucou

.. code-block:: console
   :caption: Terminal 2

   ^D
   $ echo one \\
   > two | tr ' ' '\\n'
   one
   two
   $ echo $((3 * 14)) years; seq 9
   42 years
   …
   9

.. code-block:: console
   :caption: Terminal 1

   ^C
   $ true
"""

#: Changes of it that make it wrong, each with a line of the difference that is shown.
WRONG = {
    "a line is another": (r"42 years", "41 years", "+42 years"),
    "a line is missing": ("   two\n", "", "+two"),
    "a line is too much": ("   two\n", "   two\n   three\n", "-three"),
    "the last line is missing": ("   …\n   9", "   1", "+9"),
    "the other terminal shows something else": ("on …\n   coucou", "on …\n   hello", "-hello"),
}


def test_right(tmp_path: Path) -> None:
    """
    A page that shows what is so passes.
    """
    page = tmp_path / "page.rst"
    page.write_text(RIGHT)
    play(page, PROGRAMS, tmp_path / "home")


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str, tmp_path: Path) -> None:
    """
    A page that shows anything else fails, and the difference is shown.
    """
    words, others, difference = WRONG[name]
    assert RIGHT.count(words) == 1
    page = tmp_path / "page.rst"
    page.write_text(RIGHT.replace(words, others))
    with pytest.raises(AssertionError) as raised:
        play(page, PROGRAMS, tmp_path / "home")
    assert difference in str(raised.value).splitlines()


def test_table() -> None:
    """
    A table of which nearly all varies is compared at once, also where it is another.
    """
    lines = ["        …         … word"] * 30
    pattern = patternOf(Step("", None, [*lines, "end"]))
    table = f"{' ' * 40}1{' ' * 40}23 word\n" * 30
    assert re.fullmatch(pattern, f"{table}end\n")
    assert not re.fullmatch(pattern, f"{table}the end\n")


def test_patience(tmp_path: Path) -> None:
    """
    A terminal that shows nothing is not waited for without end.
    """
    page = tmp_path / "page.rst"
    page.write_text(RIGHT)
    with pytest.raises(AssertionError):
        play(page, PROGRAMS, tmp_path / "home", patience=0)


@pytest.mark.parametrize("page", PAGES)
def test_transcripts(page: Path, tmp_path: Path) -> None:
    """
    Terminals show what the page shows.
    """
    for name in CALLED:
        if re.search(rf"^ +[$#] (.*\W)?{name} ", page.read_text("utf-8"), re.MULTILINE):
            needed(name)
    play(page, PROGRAMS, tmp_path / "home")


@pytest.mark.slow
def test_neverRests() -> None:
    """
    The program of the chapter on processors takes one for nothing, as much as it gets.
    """
    with hostOfItsOwn() as host:
        words = [*host, f"--wd={PROGRAMS}", sys.executable, "rest.py", sys.executable, "scan.py"]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    # Other tests take their share.
    assert int(said.partition("%")[0]) >= 10


@pytest.mark.parametrize("page", sorted(LESSON.glob("*.rst")), ids=lambda page: page.stem)
def test_allRun(page: Path) -> None:
    """
    No page shows commands that are not run: they all stand in blocks of commands.
    """
    text = page.read_text("utf-8")
    blocks = list(consoles(page))
    assert len(blocks) == len(re.findall(r"code-block:: *console|sourcecode:: *console", text))
    shown = [line for _, block in blocks for line in block.splitlines()]
    commands = re.findall(r"^ +([$#] .*)$", text, re.MULTILINE)
    assert commands == [line for line in shown if line.startswith(("$ ", "# "))]
    assert not re.findall(r"code-block:: *(?:bash|sh|shell|zsh)", text)
    # Where the page was made, which is nobody's business.
    assert ":diff:" not in text
