"""
The folders and files of the package are floors: imports run down. Tests import no tests.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.live import ROOT

PACKAGE = ROOT / "echotwist"

#: From the top floor to the ground, as CONTRIBUTING.rst lists them.
FLOORS = [
    "__main__",
    "tap",
    "twistd",
    "workers",
    "service",
    "monitoring",
    "listening",
    "fast",
    "datagrams",
    "streams",
    "echo",
    "recovery",
    "telemetry",
    "usage",
    "settings",
    "option",
    "cores",
    "clock",
    "sockets",
]

#: All files but the package's own door, which opens on many floors.
FILES = sorted(PACKAGE.rglob("*.py"))
FILES.remove(PACKAGE / "__init__.py")


def imports(text: str) -> Iterator[tuple[str, ...]]:
    """
    Give the modules that a text imports, wherever in it, by the words of their names.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            yield from (tuple(f"{node.module}.{name.name}".split(".")) for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (tuple(name.name.split(".")) for name in node.names)


def floorOf(words: tuple[str, ...]) -> int:
    """
    Tell the floor of a module of ours, the ground being the highest number.
    """
    return FLOORS.index(words[1])


@pytest.mark.parametrize("name", [str(path.relative_to(PACKAGE)) for path in FILES])
def test_down(name: str) -> None:
    """
    A module imports from its own floor and from those below it.
    """
    mine = FLOORS.index(name.removesuffix(".py").split("/")[0])
    for words in imports((PACKAGE / name).read_text()):
        if words[0] == "echotwist":
            assert floorOf(words) >= mine, f"{name} imports {'.'.join(words)}"


@pytest.mark.parametrize("name", [str(path.relative_to(PACKAGE)) for path in FILES])
def test_twisted(name: str) -> None:
    """
    On the ground floor nothing is known of Twisted; nowhere is its reactor
    imported with the module.
    """
    text = (PACKAGE / name).read_text()
    if name.startswith("sockets/"):
        assert "twisted" not in {words[0] for words in imports(text)}, name
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
            assert "reactor" not in {one.name for one in node.names}, name


def test_shared() -> None:
    """
    Tests import no other tests: what they share is in ``support``, has no underscore,
    and knows nothing of who shares it.
    """
    tests = ROOT / "tests"
    for path in tests.rglob("*.py"):
        name = str(path.relative_to(tests))
        for words in imports(path.read_text()):
            if words[0] == "tests":
                where = f"{name} imports {'.'.join(words)}"
                assert not [word for word in words if word.startswith(("test_", "_"))], where
                assert not name.startswith("support/") or words[1:2] == ("support",), where
