"""
The page for troubleshooting has each line that the product can print.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live import ROOT

PACKAGE = ROOT / "echotwist"

#: The pages that have them: errors and warnings; and events that are none.
TROUBLE, EVENTS = ROOT / "docs" / "troubleshooting.rst", ROOT / "docs" / "events.rst"

#: What is raised with a text that a person reads.
ERRORS = {"ListenError", "OSError", "ProbeError", "StartError", "UsageError", "ValueError"}

#: What logs what a person should act on, and what does not.
WARNINGS = {"critical", "error", "failure", "failuresHandled", "giveUp", "_giveUp", "warn"}
NOTES = {"info"}

#: Names of variables and functions that give such a text, or its end.
TEXTS = re.compile(r"_?(hint|why|follow|howEnded|\w*[fF]ault|\w*HINTS)$")


def calls(tree: ast.AST, names: set[str]) -> Iterator[ast.AST]:
    """
    Find the arguments of calls of some names.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in names:
                yield from node.args


def given(tree: ast.AST) -> Iterator[ast.AST]:
    """
    Find what is assigned to, or returned as, a hint or a reason.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(
            TEXTS.match(getattr(target, "id", "")) for target in node.targets
        ):
            yield node.value
        elif isinstance(node, ast.FunctionDef) and TEXTS.match(node.name):
            yield from (one for one in ast.walk(node) if isinstance(one, ast.Return))


def fragments(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """
    Return the fixed parts of texts, each of two words at least.
    """
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                for text in re.split(r"\{\w*\}", part.value):
                    fixed = text.strip(" ;:,.()")
                    if " " in fixed:
                        yield fixed


def written(page: Path) -> str:
    """
    Return the text of a page as one line, without markup.
    """
    return " ".join(page.read_text("utf-8").replace("``", "").split())


@pytest.mark.parametrize(
    ("names", "page", "least"), [(ERRORS | WARNINGS, TROUBLE, 100), (NOTES, EVENTS, 5)]
)
def test_complete(names: set[str], page: Path, least: int) -> None:
    """
    Each error and each log line of the code is on its page.
    """
    said = written(page)
    found, missing = 0, []
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text())
        nodes = [*calls(tree, names), *(given(tree) if page == TROUBLE else [])]
        for text in fragments(iter(nodes)):
            found += 1
            if text not in said:
                missing.append(f"{file.relative_to(PACKAGE)}: {text}")
    assert found >= least
    assert missing == []
