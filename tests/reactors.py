"""
Twisted's own tests of reactors, run on the lean one.

``python -m tests.reactors`` runs them on ``EPollReactor`` and on
``LeanReactor``, and fails if the lean one does not pass all that the other
passes.  ``trial tests.reactors`` runs them on the lean one alone, also one at a
time; some fail on any reactor where the tests run as root.

This needs PyHamcrest, and ``Twisted[tls]`` for the tests with TLS.
"""

from __future__ import annotations

import faulthandler
import sys
from collections import Counter
from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from unittest import TestSuite

import twisted.internet.test
from twisted.internet import epollreactor
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.trial.reporter import TestResult
from twisted.trial.runner import TestLoader, TrialRunner

from echotwist.fast.reactor import LeanReactor

#: Fewer than this say that tests were not found, or are all skipped.
LEAST = 250

#: Seconds for both reactors, at most; they need six.
LIMIT_S = 180

#: Seconds that a test's reactor may run; Twisted's own default is 120.
TEST_S = 30


class EPollReactor(LeanReactor):
    """
    The lean reactor, by a name that Twisted's tests know: they look at it to
    skip what epoll(7) cannot do, such as to notice that a descriptor was closed.
    """


class Outcome(TestResult):
    """
    What became of tests, by their names.

    :ivar passed: those that passed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.passed: set[str] = set()

    def addSuccess(self, test: object) -> None:
        """
        Note that a test passed.
        """
        super().addSuccess(test)
        self.passed.add(name(test))

    def troubles(self) -> dict[str, str]:
        """
        Say why tests failed, or were skipped.
        """
        found: dict[str, str] = {}
        for test, reason in [*self.errors, *self.failures, *self.skips]:
            text = getattr(reason, "getTraceback", reason.__str__)()
            found[name(test)] = found.get(name(test), "") + text
        return found

    def failed(self) -> set[str]:
        """
        Name those that failed.
        """
        return {name(test) for test, _ in [*self.errors, *self.failures]}


def name(test: object) -> str:
    """
    Return the name of a test, which is the same on either reactor.
    """
    identity: str = test.id()  # type: ignore[attr-defined]
    return identity.removeprefix("twisted.internet.test.").replace("_LeanReactor", "_EPollReactor")


def stockCases() -> list[type[ReactorBuilder]]:
    """
    Find the classes of tests that Twisted itself has for ``EPollReactor``.

    :raise ImportError: PyHamcrest is missing, or pyOpenSSL.
    """
    import_module("OpenSSL")  # without it, Twisted would skip all tests with TLS
    return [
        one
        for module in iter_modules(twisted.internet.test.__path__, "twisted.internet.test.")
        if ".test_" in module.name
        for one in vars(import_module(module.name)).values()
        if isinstance(one, type) and issubclass(one, ReactorBuilder)
        if one.reactorFactory is epollreactor.EPollReactor
    ]


def leanCase(stock: type[ReactorBuilder]) -> type[ReactorBuilder]:
    """
    Derive a class of the same tests for the lean reactor.
    """
    called = stock.__name__.replace("_EPollReactor", "_LeanReactor")
    changed = {
        "__module__": stock.__module__,
        "__qualname__": called,
        "reactorFactory": EPollReactor,
        "timeout": TEST_S,
    }
    return type(called, (stock,), changed)


def suite(cases: Iterable[type[ReactorBuilder]]) -> TestSuite:
    """
    Make a suite of all tests of the classes.
    """
    return TestSuite([TestLoader().loadClass(case) for case in cases])


def testSuite() -> TestSuite:
    """
    Give trial the tests for the lean reactor.
    """
    return suite(map(leanCase, stockCases()))


def run(label: str, tests: TestSuite) -> Outcome:
    """
    Run tests, and print how many passed.
    """
    outcome = Outcome()
    TrialRunner(lambda *_: outcome).run(tests)
    print(
        f"{label}: {outcome.testsRun} run, {len(outcome.passed)} passed,",
        f"{len(outcome.failed())} failed, {len(outcome.skips)} skipped",
        flush=True,
    )
    return outcome


def main() -> str | None:
    """
    Compare the reactors.

    :return: what is wrong, if anything is.
    """
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    stock = run("EPollReactor", suite(stockCases()))
    lean = run("LeanReactor", testSuite())
    for test in sorted(lean.failed() - stock.passed):
        print("does not pass on EPollReactor either:", test)
    for reason, times in Counter(str(reason) for _, reason in lean.skips).most_common():
        print(f"skipped {times}: {reason}")
    faults = sorted(stock.passed - lean.passed)
    for test in faults:
        print(f"\npasses on EPollReactor only: {test}\n{lean.troubles().get(test, 'did not run')}")
    if faults:
        return f"{len(faults)} tests pass on EPollReactor only"
    return "too few tests passed" if len(lean.passed) < LEAST else None


if __name__ == "__main__":
    sys.exit(main())
