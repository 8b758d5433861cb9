"""
The rules of the house: which room imports from which, and what keeps it readable.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.live import ROOT

PACKAGE = ROOT / "echotwist"

#: The rooms of the package, its folders and files, each with those that it may import from.
ARROWS = {
    "__main__": {"tap"},
    "testing": {"commandline", "probe", "settings"},
    "probe": {"commandline", "pages", "reactors", "sockets"},
    "tap": {"commandline", "listening", "service", "settings", "sockets", "telemetry"},
    "service": {
        "commandline",
        "impair",
        "listening",
        "monitoring",
        "reactors",
        "settings",
        "signals",
        "sockets",
        "telemetry",
        "values",
        "workers",
    },
    "values": {"impair", "listening", "settings"},
    "settings": {"commandline", "cores", "impair", "sockets"},
    "workers": {"listening", "reactors", "recovery", "signals", "sockets", "telemetry"},
    "monitoring": {
        "impair",
        "listening",
        "pages",
        "reactors",
        "recovery",
        "sockets",
        "streams",
        "telemetry",
    },
    "listening": {
        "commandline",
        "datagrams",
        "echo",
        "fast",
        "impair",
        "reactors",
        "recovery",
        "sockets",
        "streams",
        "telemetry",
    },
    "signals": {"reactors"},
    "fast": {"datagrams", "reactors", "sockets", "streams"},
    "datagrams": {"impair", "recovery", "sockets", "telemetry"},
    "streams": {"echo", "impair", "reactors", "recovery", "sockets", "telemetry"},
    "echo": {"sockets"},
    "recovery": {"reactors", "sockets"},
    "telemetry": {"impair", "sockets"},
    "impair": {"commandline"},
    "commandline": {"sockets"},
    "pages": {"reactors", "sockets"},
    "cores": set(),
    "reactors": set(),
    "sockets": set[str](),
}

#: All files but the package's ``__init__``, which imports from many rooms.
FILES = sorted(PACKAGE.rglob("*.py"))
FILES.remove(PACKAGE / "__init__.py")


def imports(text: str) -> Iterator[tuple[str, ...]]:
    """
    Return the modules that a text imports, wherever in it, by the words of their names.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            yield from (tuple(f"{node.module}.{name.name}".split(".")) for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (tuple(name.name.split(".")) for name in node.names)


def roomOf(path: Path) -> str:
    """
    Tell which room of the package a file is, or is in.
    """
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("name", [str(path.relative_to(PACKAGE)) for path in FILES])
def test_arrows(name: str) -> None:
    """
    A module imports from its own room, and from those that the table allows.
    """
    room = roomOf(PACKAGE / name)
    for words in imports((PACKAGE / name).read_text()):
        if words[0] == "echotwist":
            assert words[1] in {room, *ARROWS[room]}, f"{name} imports {'.'.join(words)}"


def test_down() -> None:
    """
    CONTRIBUTING.rst lists the rooms in their order, and all imports run down.
    """
    text = (ROOT / "CONTRIBUTING.rst").read_text().partition("\nThe house\n")[2]
    listed = re.findall(r"^``(\w+)(?:\.py|/)``  ", text, re.MULTILINE)
    rooms = list(ARROWS)
    assert listed == [room for room in rooms if room in map(roomOf, FILES)]
    for number, room in enumerate(rooms):
        assert not ARROWS[room] & {*rooms[:number]}, room


@pytest.mark.parametrize("name", [str(path.relative_to(PACKAGE)) for path in FILES])
def test_twisted(name: str) -> None:
    """
    ``sockets/`` does not import Twisted; no module imports Twisted's reactor at its
    top.
    """
    text = (PACKAGE / name).read_text()
    if name.startswith("sockets/"):
        assert "twisted" not in {words[0] for words in imports(text)}, name
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
            assert "reactor" not in {one.name for one in node.names}, name


def test_settings() -> None:
    """
    Below the service no module knows ``Settings``: each part gets the values that it
    needs.
    """
    for path in FILES:
        room = roomOf(path)
        if room != "settings" and "settings" not in ARROWS[room]:
            assert "Settings" not in set(identifiers(path.read_text())), path


def test_shared() -> None:
    """
    Tests import no other tests: shared code is in ``support``, has no underscore, and
    does not import its users.
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

#: What is written in C, and the lines of each part.
COMPILED, MOST_LINES_IN_C = [*(PACKAGE / "fast").glob("*.c")], 249

#: Names that network engineers do not use, each with the one that they do.
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

#: The module that chooses between the fast and the portable way.
CHOOSER = "listening/ways.py"

#: Names that each module may have for itself: its own logger.
OWN = {"_log"}


def identifiers(text: str) -> Iterator[str]:
    """
    Return the names that a module has or uses, without the underscore before them.
    """
    for node in ast.walk(ast.parse(text)):
        for field in ("id", "attr", "arg", "name", "asname"):
            if isinstance(name := getattr(node, field, None), str):
                yield name.lstrip("_")


def defined(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """
    Return the names that statements define, one by one, but not those in functions
    and classes.
    """
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif not isinstance(node, ast.expr) or isinstance(node, ast.Tuple):
            yield from defined(ast.iter_child_nodes(node))


def test_chosen() -> None:
    """
    Only the module that chooses between the fast and the portable way imports the fast
    one, and only inside of functions: it exists on Linux alone.
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
    A module has at most 300 lines, and what is written in C fewer than 250.
    """
    assert len(COMPILED) == 4
    for source in COMPILED:
        assert len(source.read_text().splitlines()) <= MOST_LINES_IN_C
    sizes = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in FILES}
    assert not {name for name, size in sizes.items() if size > MOST_LINES}


def test_retired() -> None:
    """
    The package and its documentation use no retired name.
    """
    pages = [*ROOT.glob("*.rst"), *(ROOT / "docs").glob("*.rst")]
    pages.remove(ROOT / "CHANGELOG.rst")  # which tells what there was
    spans = [(page, span) for page in pages for span in re.findall("``(.+?)``", page.read_text())]
    found = [(path.name, name) for path in FILES for name in identifiers(path.read_text())]
    found += [(page.name, word) for page, span in spans for word in re.findall("[A-Za-z]+", span)]
    assert not [f"{where}: {name}, say {RETIRED[name]}" for where, name in found if name in RETIRED]


def test_roads() -> None:
    """
    The roads of a byte, of a datagram and of an option consist of names in the code:
    files, classes, functions, and methods of the class that is named.
    """
    text = (ROOT / "CONTRIBUTING.rst").read_text()
    _, _, rest = text.partition("The roads of a byte, of a datagram, of an option:\n\n")
    roads, _, _ = rest.partition("\n\n")
    trees = [ast.parse(path.read_text()) for path in FILES]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    known = {node.name for node in nodes if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            known |= {f"{node.name}.{name}" for name in defined(node.body)}
    known |= {path.name for path in FILES} | {str(path.relative_to(PACKAGE)) for path in FILES}
    known |= {
        *(str(source.relative_to(PACKAGE)) for source in COMPILED),
        *(
            name
            for source in COMPILED
            for name in re.findall(r"(?m)^static .*?(\w+)\(", source.read_text())
        ),
    }
    said = [span for span in re.findall("``(.+?)``", roads) if not span.startswith("--")]
    assert len(said) > 15
    # This method is Twisted's.
    assert not {*said} - known - {"transport.write"}


def test_once() -> None:
    """
    A name at the top of a module means one thing in all of the service; the probe is
    a program of its own.
    """
    places = defaultdict(set)
    for path in (path for path in FILES if roomOf(path) != "probe"):
        for name in defined(ast.parse(path.read_text()).body):
            places[name].add(str(path.relative_to(PACKAGE)))
    assert not {name: found for name, found in places.items() if len(found) > 1 and name not in OWN}


def test_named() -> None:
    """
    The test files and folders that documents name exist.
    """
    for page in [ROOT / "CONTRIBUTING.rst", *(ROOT / "docs").rglob("*.rst")]:
        for name in re.findall(r"\btests/[\w/.]*\w", page.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{page.name} names {name}"
