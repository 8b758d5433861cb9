"""
The folders and files of the package are floors: imports run down. Tests import no tests.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import pytest

from tests.support.live import ROOT

PACKAGE = ROOT / "echotwist"

#: From the top floor to the ground, as CONTRIBUTING.rst lists them.
FLOORS = [
    "__main__",
    "tap",
    "twistd",
    "service",
    "values",
    "settings",
    "workers",
    "monitoring",
    "listening",
    "signals",
    "fast",
    "datagrams",
    "streams",
    "echo",
    "recovery",
    "telemetry",
    "usage",
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


def test_table() -> None:
    """
    CONTRIBUTING.rst lists the floors, from the top down.
    """
    text = (ROOT / "CONTRIBUTING.rst").read_text()
    found = re.findall(r"^``(\w+)(?:\.py|/)``  ", text, re.MULTILINE)
    assert found == FLOORS


def test_settings() -> None:
    """
    Below the service nobody knows the settings: each part gets the values that it needs.
    """
    floor = FLOORS.index("settings")
    for path in FILES:
        name = str(path.relative_to(PACKAGE)).removesuffix(".py").split("/")[0]
        if FLOORS.index(name) > floor:
            assert "Settings" not in set(identifiers(path.read_text())), path


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


#: Lines of a module; one with more is usually two.
MOST_LINES = 300

#: Names that the code had and the field does not, each with what it says instead.
RETIRED = {
    "Entrance": "DeferredFactory",
    "Journal": "RateLimitedLog",
    "Judge": "IDatagramGuard",
    "NUMBERS": "COUNTERS",
    "ORDERS": "COMMANDS",
    "Overseer": "InactivityTimeout",
    "Owner": "IConnectionOwner, IWorkerOwner",
    "PLAN": "CONFIG",
    "Patience": "InactivityTimeout",
    "Shape": "an interface of zope.interface",
    "WORDS": "STDERR",
    "awaits": "handshakeStarted",
    "awaitsNoMore": "handshakeFinished",
    "handOver": "setProtocol",
    "heir": "nextProtocol",
    "hurry": "abort",
    "innermost": "innermostProtocol",
    "journal": "limitedLog",
    "layers": "wrappers",
    "letGo": "closeInBackground",
    "look": "checkAlive",
    "newcomer": "connection",
    "objection": "refusal",
    "objectionTo": "refusalTo",
    "underneath": "lowestTransport",
    "whoEnds": "halfCloseTarget",
}

#: What chooses between the fast and the portable way.
CHOOSER = "listening/ways.py"

#: Names that each module may have for itself: its own logger.
OWN = {"_log"}


def identifiers(text: str) -> Iterator[str]:
    """
    Give the names that a module has or uses, without the underscore before them.
    """
    for node in ast.walk(ast.parse(text)):
        for field in ("id", "attr", "arg", "name", "asname"):
            if isinstance(name := getattr(node, field, None), str):
                yield name.lstrip("_")


def defined(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """
    Give the names that statements define, one by one, but not those in functions
    and classes.
    """
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif not isinstance(node, ast.expr) or isinstance(node, ast.Tuple):
            yield from defined(ast.iter_child_nodes(node))


def test_chosen() -> None:
    """
    Only who chooses between the fast and the portable way knows of the fast one, and
    no way but late: elsewhere than on Linux it cannot be imported.
    """
    for path in FILES:
        name = str(path.relative_to(PACKAGE))
        known = {words[:2] for words in imports(path.read_text())}
        atTop = {
            f"{node.module}"
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.ImportFrom)
        }
        if not name.startswith("fast/"):
            assert ("echotwist", "fast") not in known or name == CHOOSER, name
            assert not [one for one in atTop if one.startswith("echotwist.fast")], name


def test_size() -> None:
    """
    A module has at most 300 lines.
    """
    sizes = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in FILES}
    assert not {name for name, size in sizes.items() if size > MOST_LINES}


def test_retired() -> None:
    """
    No name in the package or its documentation is one that was retired.
    """
    pages = [*ROOT.glob("*.rst"), *(ROOT / "docs").glob("*.rst")]
    pages.remove(ROOT / "CHANGELOG.rst")  # which tells what there was
    spans = [(page, span) for page in pages for span in re.findall("``(.+?)``", page.read_text())]
    found = [(path.name, name) for path in FILES for name in identifiers(path.read_text())]
    found += [(page.name, word) for page, span in spans for word in re.findall("[A-Za-z]+", span)]
    assert not [f"{where}: {name}, say {RETIRED[name]}" for where, name in found if name in RETIRED]


def test_once() -> None:
    """
    A name at the top of a module means one thing in all of the service; the probe is
    a program of its own.
    """
    places = defaultdict(set)
    for path in (path for path in FILES if path.parent.name != "probe"):
        for name in defined(ast.parse(path.read_text()).body):
            places[name].add(str(path.relative_to(PACKAGE)))
    assert not {name: found for name, found in places.items() if len(found) > 1 and name not in OWN}
