"""
The reactor of the program, and its clock: setting the time of the system does not move it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time
from typing import Any

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorTime,
)
from twisted.python import runtime


class IReactor(IReactorCore, IReactorFDSet, IReactorFromThreads, IReactorTime):
    """
    The reactor of the program: any of Twisted's.
    """

    def run(installSignalHandlers: bool = True) -> None:
        """
        Run until the reactor is stopped.

        :param installSignalHandlers: have signals stop it, as Twisted does.
        """


def steadyClock() -> Callable[[], float]:
    """
    Make a clock that starts at the time of the system, and from then on only counts
    the seconds that pass (``CLOCK_MONOTONIC``, clock_gettime(2)).

    Twisted's own web server takes the dates of its log from a reactor's clock, so
    this one counts from the epoch too.
    """
    epoch = time() - monotonic()
    return lambda: epoch + monotonic()


def keepSteady(reactor: Any) -> Any:
    """
    Make a reactor time its calls by a steady clock instead of the time of the system.

    All of Twisted's reactors ask their own ``seconds`` for each timed call, and the
    system only for how long to wait.  Calls that are timed already keep
    their time: both clocks show the same now.

    :param reactor: the reactor (``IReactorTime``); one with a clock of its own keeps it.
    :return: the reactor.
    """
    if reactor.seconds is runtime.seconds:
        reactor.seconds = steadyClock()
        for call in reactor.getDelayedCalls():
            call.seconds = reactor.seconds
    return reactor


def globalReactor() -> IReactorTime:
    """
    Return the reactor of the process.
    """
    from twisted.internet import reactor

    return IReactorTime(reactor)
