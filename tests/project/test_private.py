"""
What we use of Twisted's private parts is listed, and is still there.
"""

from __future__ import annotations

import ast
import csv
import inspect
import socket
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from twisted.internet import base, endpoints, epollreactor, posixbase, tcp, udp
from twisted.internet.abstract import FileDescriptor, _LogOwner
from twisted.protocols.haproxy import _v1parser, _v2parser
from twisted.protocols.tls import TLSMemoryBIOProtocol as TLS
from twisted.python.context import ContextTracker, ThreadedContextTracker
from twisted.runner.procmon import ProcessMonitor

from tests.support.live import ROOT

PACKAGE = ROOT / "echotwist"

LIST = ROOT / "docs" / "twisted.rst"

#: Names with an underscore that are documented all the same.
PUBLIC = {"_exit"}


@frozen
class Part:
    """
    A private part.

    :param owner: the class or module that has it.
    :param name: its name.
    :param users: functions that must still use it.
    :param parameters: those of a function that we call or override.
    """

    owner: Any
    name: str
    users: tuple[Callable[..., object], ...] = ()
    parameters: str | None = None

    @property
    def text(self) -> str:
        """
        Its name in the list.
        """
        isModule = inspect.ismodule(self.owner)
        return f"{self.owner.__name__ if isModule else self.owner.__qualname__}.{self.name}"

    def faults(self) -> Iterator[str]:
        """
        Find what is not as we need it.
        """
        if self.name not in defined(tree(self.owner)) | set(dir(self.owner)):
            yield "is gone"
            return
        if self.parameters is not None:
            found = " ".join(inspect.signature(getattr(self.owner, self.name)).parameters)
            if found != self.parameters:
                yield f"takes ({found}), not ({self.parameters})"
        for user in self.users:
            names = {node.id for node in ast.walk(tree(user)) if isinstance(node, ast.Name)}
            if self.name not in attributes(tree(user)) | names:
                yield f"is not used by {user.__qualname__} any more"


PARTS = [
    Part(socket.socket, "_accept", (socket.socket.accept,)),
    Part(FileDescriptor, "_postLoseConnection", (FileDescriptor.doWrite,), "self"),
    Part(
        FileDescriptor,
        "_tempDataBuffer",
        (FileDescriptor.write, FileDescriptor.doWrite),
    ),
    Part(
        FileDescriptor,
        "_tempDataLen",
        (FileDescriptor.write, FileDescriptor.doWrite),
    ),
    Part(_LogOwner, "_getLogPrefix", (), "self applicationObject"),
    Part(tcp._SocketCloser, "_closeSocket", (tcp.Connection.connectionLost,), "self orderly"),
    Part(tcp._SocketCloser, "_shouldShutdown", (tcp._SocketCloser._closeSocket,)),
    Part(tcp._AbortingMixin, "_aborting", (tcp._AbortingMixin.abortConnection,)),
    Part(tcp.Connection, "_dataReceived", (tcp.Connection.doRead,), "self data"),
    Part(tcp.Server, "_addressType", (tcp.Server.__init__,)),
    Part(tcp.Port, "_buildAddr", (tcp.Port.doRead,), "self address"),
    Part(tcp.Port, "_preexistingSocket", (tcp.Port.startListening,)),
    Part(tcp.Port, "_realPortNumber", (tcp.Port.connectionLost, tcp.Port._logConnectionLostMsg)),
    Part(tcp.Port, "_type", (tcp.Port._logConnectionLostMsg,)),
    Part(udp.Port, "_preexistingSocket", (udp.Port._bindSocket,)),
    Part(udp.Port, "_realPortNumber", (udp.Port.connectionLost,)),
    Part(udp.Port, "_bindSocket", (udp.Port.startListening,), "self"),
    Part(TLS, "_tlsConnection", (TLS.makeConnection, TLS.dataReceived, TLS._write)),
    Part(TLS, "_checkHandshakeStatus", (TLS.makeConnection, TLS.dataReceived), "self"),
    Part(TLS, "_handshakeDone", (TLS._checkHandshakeStatus, TLS.dataReceived)),
    Part(TLS, "_flushSendBIO", (TLS._write, TLS._checkHandshakeStatus), "self"),
    Part(TLS, "_flushReceiveBIO", (TLS.dataReceived,), "self"),
    Part(TLS, "_lostTLSConnection", (TLS._tlsShutdownFinished, TLS.connectionLost)),
    Part(TLS, "_aborted", (TLS._checkHandshakeStatus,)),
    Part(TLS, "_shutdownTLS", (TLS.loseConnection, TLS.unregisterProducer), "self"),
    Part(TLS, "_tlsShutdownFinished", (TLS._write, TLS._checkHandshakeStatus), "self reason"),
    Part(TLS, "_producer", (TLS.registerProducer, TLS.loseConnection)),
    Part(epollreactor.EPollReactor, "_poller", (epollreactor.EPollReactor._add,)),
    Part(epollreactor.EPollReactor, "_selectables", (epollreactor.EPollReactor.addReader,)),
    Part(epollreactor.EPollReactor, "_reads", (epollreactor.EPollReactor.addReader,)),
    Part(epollreactor.EPollReactor, "_writes", (epollreactor.EPollReactor.addWriter,)),
    Part(
        posixbase._PollLikeMixin,
        "_doReadOrWrite",
        (epollreactor.EPollReactor.doPoll,),
        "self selectable fd event",
    ),
    Part(
        posixbase._DisconnectSelectableMixin,
        "_disconnectSelectable",
        (posixbase._PollLikeMixin._doReadOrWrite,),
        "self selectable why isRead faildict",
    ),
    Part(base.ReactorBase, "_started", (base.ReactorBase.mainLoop, base.ReactorBase.crash)),
    Part(base.ReactorBase, "_justStopped", (base.ReactorBase.stop,)),
    Part(base.ReactorBase, "_newTimedCalls", (base.ReactorBase.callLater,)),
    Part(base.ReactorBase, "_pendingTimedCalls", (base.ReactorBase.timeout,)),
    Part(base.ReactorBase, "_insertNewDelayedCalls", (base.ReactorBase.timeout,)),
    Part(base.ReactorBase, "_cancellations", (base.ReactorBase.runUntilCurrent,)),
    Part(ProcessMonitor, "_reactor", (ProcessMonitor.startProcess,)),
    Part(ProcessMonitor, "_clock", (ProcessMonitor.startProcess, ProcessMonitor.stopProcess)),
    Part(ProcessMonitor, "_monitoredProcessExited", (), "self name reason"),
    Part(ProcessMonitor, "_forceStopProcess", (ProcessMonitor.stopProcess,), "self proc"),
    Part(endpoints, "_tokenize", (endpoints._parse,), "description"),
    Part(_v1parser, "V1Parser"),
    Part(_v2parser, "V2Parser"),
    Part(FileDescriptor, "dataBuffer", (FileDescriptor.doWrite,)),
    Part(FileDescriptor, "offset", (FileDescriptor.doWrite,)),
    Part(base.ReactorBase, "seconds", (base.ReactorBase.callLater, base.ReactorBase.timeout)),
    Part(base.DelayedCall, "seconds", (base.DelayedCall.reset,)),
    Part(ThreadedContextTracker, "currentContext", (), "self"),
    Part(ContextTracker, "contexts", (ContextTracker.getContext,)),
]


@cache
def tree(thing: Any) -> ast.AST:
    """
    Return the source of something as a tree; of what is written in C, nothing.
    """
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError):
        return ast.Module([], [])


def isPrivate(name: str) -> bool:
    """
    Tell whether a name promises nothing.
    """
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC


def attributes(found: ast.AST) -> set[str]:
    """
    Give all names of a tree that come after a point.
    """
    return {node.attr for node in ast.walk(found) if isinstance(node, ast.Attribute)}


def defined(found: ast.AST) -> set[str]:
    """
    Return the names that a tree defines: in functions, classes and their instances.
    """
    names = set()
    for node in ast.walk(found):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def private(found: ast.AST) -> set[str]:
    """
    Return those of them that are private.
    """
    return set(filter(isPrivate, defined(found)))


def imported(found: ast.AST) -> Iterator[str]:
    """
    Return what a tree imports from elsewhere by a private name.
    """
    for node in ast.walk(found):
        if isinstance(node, ast.ImportFrom) and not f"{node.module}".startswith("echotwist"):
            texts = [f"{node.module}.{one.name}" for one in node.names]
            yield from (text for text in texts if any(map(isPrivate, text.split("."))))


def inherited(found: ast.AST, module: Any) -> Iterator[str]:
    """
    Return the private names that the classes of a module share with foreign bases.
    """
    for node in ast.walk(found):
        one = getattr(module, node.name, None) if isinstance(node, ast.ClassDef) else None
        if inspect.isclass(one):
            foreign = [c for c in one.__mro__ if not c.__module__.startswith("echotwist")]
            theirs = set[str]().union(*(private(tree(c)) for c in foreign))
            yield from (attributes(node) | private(node)) & theirs


def foreign() -> dict[str, set[str]]:
    """
    Find the private names in the package that are not our own, each with its files.
    """
    trees = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
    ours = set[str]().union(*map(private, trees.values()))
    found = defaultdict(set)
    for path, text in trees.items():
        name = str(path.relative_to(PACKAGE))
        if path.stem != "__main__":
            words = path.relative_to(ROOT).with_suffix("").parts
            names = {*inherited(text, import_module(".".join(words))), *imported(text)}
            names |= {one for one in attributes(text) if isPrivate(one) and one not in ours}
            for one in names:
                found[one].add(name)
    return found


@cache
def listed() -> dict[str, list[str]]:
    """
    Read the list: the parts, each with the files that use it.
    """
    lines = [line.strip() for line in LIST.read_text().splitlines() if line.startswith('   "``')]
    rows = csv.reader(lines, skipinitialspace=True)
    return {part.strip("`"): files.replace("`", "").split(", ") for part, files, _ in rows}


def shortOf(part: str) -> str:
    """
    Return the name of a part of the list as the code has it.
    """
    return part if part.startswith("twisted.") else part.rpartition(".")[2]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.text)
def test_part(part: Part) -> None:
    """
    Twisted has a part still as we need it.
    """
    faults = "; ".join(part.faults())
    assert not faults, f"Twisted has changed: {part.text} {faults}.  See {LIST.name}."


def test_listed() -> None:
    """
    The parts of the list are those that are tested.
    """
    assert set(listed()) == {part.text for part in PARTS}


def test_complete() -> None:
    """
    The list names the private parts that the package uses, all of them and no other,
    and the files that use them.
    """
    found = foreign()
    where = defaultdict[str, set[str]](set)
    for part, files in listed().items():
        where[shortOf(part)].update(files)
    assert set(found) == {name for name in where if any(map(isPrivate, name.split(".")))}
    for name, known in where.items():
        assert found[name] <= known, f"{name}: list {found[name] - known} too"
        for file in known:
            word = name.rpartition(".")[2]
            assert word in (PACKAGE / file).read_text(), f"{name} is not in {file}"


class Changed:
    """
    A class of a newer Twisted.
    """

    def _used(self, more: int) -> None:
        """
        Do something.
        """

    def user(self) -> None:
        """
        Do without it.
        """


@pytest.mark.parametrize(
    "part, fault",
    [
        (Part(Changed, "_gone"), "is gone"),
        (Part(Changed, "_used", (), "self"), "takes (self more), not (self)"),
        (Part(Changed, "_used", (Changed.user,)), "is not used by Changed.user any more"),
        (Part(Changed, "_used", (), "self more"), ""),
    ],
)
def test_faults(part: Part, fault: str) -> None:
    """
    What has changed is told in plain words.
    """
    assert "; ".join(part.faults()) == fault


def test_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A use that is not listed is found: on an object, in a class, by an import.
    """
    (tmp_path / "echotwist").mkdir()
    (tmp_path / "echotwist" / "unlisted.py").write_text(
        "from twisted.internet.tcp import Port, _SocketCloser\n"
        "class Ours(Port):\n"
        "    _type, _ours = 'ours', _SocketCloser\n"
        "def use(transport):\n"
        "    return transport._secret, transport._ours\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "echotwist")
    import echotwist

    monkeypatch.setattr(echotwist, "__path__", [str(tmp_path / "echotwist")])
    names = {"_secret", "_type", "twisted.internet.tcp._SocketCloser"}
    assert dict(foreign()) == {name: {"unlisted.py"} for name in names}
    del sys.modules["echotwist.unlisted"]
