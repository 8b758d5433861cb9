"""
What all tests share under pytest.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from echotwist.cores import cores
from tests.support import table
from tests.support.live import figures

# The tests start a thousand services: have the first one compile for all.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell ignores it for what it starts in the background, and so would all services here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: What all tests measured, in the order in which it came.
_measured: dict[str, None] = {}


@pytest.fixture(autouse=True)
def nothingLeftListening() -> Iterator[None]:
    """
    Check that no test leaves a port or a connection in this process's reactor.
    """
    yield
    from twisted.internet import reactor as installed

    reactor: Any = installed
    left = set(reactor.getReaders()) - reactor._internalReaders
    assert not left, f"left in the reactor: {left}"


@pytest.fixture(autouse=True)
def elsewhere(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Have the files of tests for both runners in a folder that pytest keeps in order.
    """
    if request.cls is not None and issubclass(request.cls, SynchronousTestCase):
        monkeypatch.chdir(tmp_path)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """
    Run all tests two at a time on each core, and one more, as most of them wait; but a
    few that were asked for in this process, without the start of others.
    """
    isAll = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return 2 * cores() + 1 if isAll else 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Have the report carry what the test measured, and what it was of, to the process
    that prints.
    """
    report = yield
    if cell := table.cell(item):
        report.user_properties.append(("cell", cell))
    report.user_properties += [("figure", figure) for figure in figures]
    figures.clear()
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """
    Remember what was measured, and what became of each kind under each rule.
    """
    for name, value in report.user_properties:
        if name == "cell" and isinstance(value, (tuple, list)):
            table.note(tuple(value), report)
        elif name == "figure":
            _measured[str(value)] = None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """
    Fail if the table in docs says anything else than the tests.
    """
    if hasattr(session.config, "workerinput"):
        return
    for name in table.changed():
        _measured[f"the table of {name} was not what the tests say: it is written anew"] = None
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """
    Print what was measured.
    """
    if _measured:
        terminalreporter.section("figures")
        for figure in _measured:
            terminalreporter.write_line(figure)
