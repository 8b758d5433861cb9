"""
Pages of the lesson, typed by a reader who looks at the screen.

A page is a session at real terminals: one shell goes on from block to block, a
second terminal talks to what runs in the first, and ``telnet`` is typed into.
doctest and sybil run each example by itself in the process of the tests.  pexpect
has the terminal, but looks for words in what it shows, where all of it is to be
compared.  So this is the standard library's ``pty``, and what a page is.
"""

from __future__ import annotations

import difflib
import os
import pty
import re
import select
import shutil
import subprocess
import termios
import time
from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.support.live import BIN, PATIENCE
from tests.support.transcripts import consoles

#: What a shell shows when it waits: of a user, of root; and when a line goes on.
PROMPTS = ("$ ", "# ")
CONTINUED = "> "

#: What ``telnet`` shows after ``^]``.
TELNET = "telnet> "

#: Lines and columns of a terminal; the lesson is read on telephones, too.
SIZE = (24, 72)

#: Stands for what varies: in a line, or for any lines if it is alone.
VARIES = "…"

#: A bash that draws nothing but its prompt and what programs print.
SHELL = ["bash", "--norc", "--noprofile", "--noediting", "-i"]

#: Takes from root what makes it root to the network (capabilities(7)).
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


class Step(NamedTuple):
    """
    A line that is typed, and what is on the screen from there to the next.

    :ivar prompt: before the line.
    :ivar typed: the line; None if something that runs already goes on.
    :ivar shown: all lines, with the prompt and what was typed.
    """

    prompt: str
    typed: str | None
    shown: list[str]


#: Before anything is shown.
NOTHING = Step("", None, [])


class Block(NamedTuple):
    """
    A block of a page.

    :ivar terminal: the name of the terminal, and the prompt of its shell.
    :ivar steps: what is done.
    :ivar text: the block, as it is on the page.
    """

    terminal: tuple[str, str]
    steps: list[Step]
    text: str


def blocks(page: Path) -> list[Block]:
    """
    Return the blocks of a page.
    """
    prompts: dict[str, str] = {}
    found = []
    for options, text in consoles(page):
        name = options.get("caption", "")
        steps = list(stepsOf(text, linesOf(options.get("emphasize-lines", ""))))
        first = [step.prompt for step in steps if step.prompt in PROMPTS]
        prompts[name] = (first or [prompts.get(name, "$ ")])[0]
        found.append(Block((name, prompts[name]), steps, text))
    return found


def linesOf(numbers: str) -> set[int]:
    """
    Read what ``:emphasize-lines:`` says, such as ``1,4-6``.
    """
    ranges = [part.split("-") for part in numbers.split(",") if part.strip()]
    return {line for ends in ranges for line in range(int(ends[0]), int(ends[-1]) + 1)}


def stepsOf(text: str, emphasized: set[int]) -> Iterator[Step]:
    """
    Divide a block at each line that is typed.
    """
    step = Step("", None, [])
    for number, line in enumerate(text.splitlines(), 1):
        prompt = promptOf(line, step, number in emphasized)
        if prompt is None:
            step.shown.append(line)
            continue
        if step != NOTHING:
            yield step
        step = Step(prompt, line.removeprefix(prompt), [line])
    yield step


def promptOf(line: str, before: Step, isEmphasized: bool) -> str | None:
    """
    Tell after which prompt a line is typed.

    :return: None if a program printed it.
    """
    if before.typed is not None and before.shown[-1].endswith("\\") and line.startswith(CONTINUED):
        return CONTINUED
    for prompt in (*PROMPTS, TELNET):
        if line.startswith(prompt):
            return prompt
    return "" if isEmphasized or isControl(line) else None


def isControl(line: str) -> bool:
    """
    Tell whether a line names a key that is pressed with Control.
    """
    return re.fullmatch(r"\^[A-Z\]]", line) is not None


def patternOf(step: Step) -> str:
    """
    Return the pattern of what a step shows.

    What a program says of ``^C`` is not compared, up to the prompt.
    """
    shown = step.shown + [VARIES] * (step.shown == ["^C"])
    pattern = "".join(map(_patternOfLine, shown))
    if step.typed is not None and isControl(step.typed):
        # The terminal shows some of these keys, and the program begins no new line.
        key = re.escape(step.typed)
        pattern = pattern.replace(key + r"[ \t]*\n", f"(?:{key})?\\n?", 1)
    return pattern


def _patternOfLine(line: str) -> str:
    if line == VARIES:
        return r"(?:.*\n)*?"
    # What varies takes the blanks around it, so that a line is matched in few ways: in a
    # table an expression with many takes for ever to fail.
    parts = re.split(rf"\s*(?:{VARIES}\s*)+", line.rstrip())
    words = [r"[ \t]+".join(map(re.escape, re.split(r"[ \t]+", part))) for part in parts]
    return ".*".join(words) + r"[ \t]*\n"


class Terminal:
    """
    A terminal with a shell.

    :param host: words that run a command there, as of :func:`hostOfItsOwn`.
    :param folder: where its shell starts.
    :param prompt: of the shell.
    """

    def __init__(self, host: Sequence[str], folder: Path, prompt: str) -> None:
        self._prompt = prompt
        self._unread = ""
        self._decoder = getincrementaldecoder("utf-8")()
        self._descriptor, side = pty.openpty()
        termios.tcsetwinsize(side, SIZE)
        environment = {
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "PATH": os.pathsep.join([str(BIN), "/usr/sbin", "/sbin", os.environ["PATH"]]),
            "PS1": prompt,
            "PS2": CONTINUED,
            "TERM": "dumb",
        }
        powers = [] if prompt == "# " else POWERLESS
        self._shell = subprocess.Popen(
            [*host, f"--wd={folder}", *powers, "setsid", "--ctty", "--wait", *SHELL],
            env=environment,
            stdin=side,
            stdout=side,
            stderr=side,
        )
        os.close(side)

    def close(self) -> None:
        """
        Close it, after the end of all that ran there.
        """
        os.close(self._descriptor)
        self._shell.wait(PATIENCE)

    def type(self, line: str) -> None:
        """
        Type a line, or press a key.
        """
        written = chr(ord(line[1]) ^ 0x40) if isControl(line) else line + "\n"
        os.write(self._descriptor, written.encode())

    def shows(self, step: Step, ending: str | None, patience: float) -> bool:
        """
        Wait until what was not compared yet is what a step shows, or cannot become so.

        :param ending: what stands after it, to be compared again; None if that can be
            anything.
        """
        deadline = time.monotonic() + patience
        end = "" if ending is None else re.escape(ending) + r"\Z"
        while not (found := re.match(f"({patternOf(step)}){end}", self._unread)):
            left = deadline - time.monotonic()
            if self._isHopeless(step) or left < 0:
                return False
            if select.select([self._descriptor], [], [], left)[0]:
                shown = self._decoder.decode(os.read(self._descriptor, 2**16))
                self._unread += shown.replace("\r", "")
        self._unread = self._unread[found.end(1) :]
        return True

    def _isHopeless(self, step: Step) -> bool:
        # The shell is back and nothing more will come, or a line is another already.
        if step.typed is not None and isControl(step.typed):
            return False
        fixed = takewhile(lambda line: line != VARIES, step.shown)
        lines = self._unread.split("\n")[:-1]
        return self._unread.endswith(f"\n{self._prompt}") or not all(
            re.fullmatch(_patternOfLine(line), f"{shown}\n")
            for line, shown in zip(fixed, lines, strict=False)
        )

    def play(self, block: Block, ends: bool, patience: float = PATIENCE) -> None:
        """
        Do what a block says.

        :param ends: whether the shell waits for a command in the end.
        :raise AssertionError: with the difference, when the screen shows something else.
        """
        nexts = [step.prompt for step in block.steps[1:]]
        done: list[str] = []
        for step, ending in zip(block.steps, [*nexts, self._prompt if ends else None], strict=True):
            isRight = step.typed is None or self.shows(NOTHING, step.prompt, patience)
            if isRight and step.typed is not None:
                self.type(step.typed)
            if not isRight or not self.shows(step, ending, patience):
                shown = [*done, *self._unread.splitlines()]
                raise AssertionError("\n".join(difference(block.text.splitlines(), shown)))
            done += step.shown


def difference(page: list[str], screen: list[str]) -> Iterator[str]:
    """
    Show where a page and a screen are not the same.
    """
    # The lines that differ in nothing but what varies are the same.
    lines = [line for line in page if line != VARIES]
    same = [
        next((line for line in lines if re.fullmatch(_patternOfLine(line), f"{shown}\n")), shown)
        for shown in screen
    ]
    return difflib.unified_diff(page, same, "the page", "the screen", lineterm="", n=100)


@contextmanager
def hostOfItsOwn() -> Iterator[list[str]]:
    """
    Make a host with a network and processes of its own, where all ports are free.

    :return: words that run a command there.
    """
    names = ["unshare", "nsenter", "setpriv", "bash"]
    if missing := [name for name in names if shutil.which(name) is None]:
        pytest.skip(f"{missing[0]} is not installed")
    isRoot = os.geteuid() == 0
    words = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    words += [] if isRoot else ["--map-root-user"]
    with subprocess.Popen(
        [*words, "sh", "-c", "ip link set lo up && echo up && exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        if holder.stdout.readline() != b"up\n":
            pytest.skip("a user may make no network namespace here")
        [first] = psutil.Process(holder.pid).children()
        entering = ["nsenter", f"--target={first.pid}", "--net", "--pid", "--mount"]
        try:
            yield entering + ([] if isRoot else ["--user", "--preserve-credentials"])
        finally:
            # The kernel ends all processes there with the first.
            holder.kill()


def play(page: Path, programs: Path, folder: Path, patience: float = PATIENCE) -> None:
    """
    Type a page, and compare what the terminals show.

    :param programs: a folder whose files the page uses.
    :param folder: where they are copied to.
    :raise AssertionError: when something else is shown.
    """
    shutil.copytree(programs, folder, dirs_exist_ok=True)
    todo = blocks(page)
    terminals: dict[tuple[str, str], Terminal] = {}
    # All that runs in the terminals ends with the host, before they are closed.
    with ExitStack() as closing, hostOfItsOwn() as host:
        for number, block in enumerate(todo):
            terminal = terminals.get(block.terminal)
            if terminal is None:
                terminal = Terminal(host, folder, block.terminal[1])
                terminals[block.terminal] = terminal
                closing.callback(terminal.close)
            later = [one for one in todo[number + 1 :] if one.terminal == block.terminal]
            goesOn = later and later[0].steps[0].prompt not in PROMPTS
            terminal.play(block, not goesOn, patience)
