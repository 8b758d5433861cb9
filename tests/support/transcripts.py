"""
What pages show of commands and their output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

#: A block of commands, each with what it prints: how far in it stands, its options, its text.
_BLOCK = re.compile(
    r"^( *)\.\. code-block:: console\n((?:\1 +:.*\n)*)\n((?:\1 +.*\n|\n)+)", re.MULTILINE
)


def consoles(page: Path) -> Iterator[tuple[dict[str, str], str]]:
    """
    Give each block of commands that a page shows: its options, and its text.
    """
    for _, options, block in _BLOCK.findall(page.read_text("utf-8")):
        yield dict(re.findall(r":([\w-]+): *(.*)", options)), dedent(block).strip("\n")


def transcripts(page: Path) -> Iterator[tuple[str, str]]:
    """
    Give each command that a page shows, with its output.
    """
    for _, block in consoles(page):
        for shown in re.split(r"^[$#] ", block, flags=re.MULTILINE)[1:]:
            command, _, output = shown.replace("\\\n", "").partition("\n")
            yield command, output.strip("\n")


def matches(shown: str, printed: str) -> bool:
    """
    Tell whether a command printed what a page shows: numbers vary, and a line of three
    dots stands for any lines.
    """
    lines = [re.escape(line.strip()) for line in shown.splitlines()]
    varying = [re.sub(r"\d(?:[\d,]|\\\.)*", r"[\\d.,]+", line) for line in lines]
    pattern = r"\s+".join(r".*" if line == r"\.\.\." else line for line in varying)
    pattern = re.sub(r"(?:\\ )+", r"[ ]+", pattern)
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None
