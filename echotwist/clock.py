"""
The clock of all that waits: setting the time of the system does not move it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python import runtime


def steadyClock() -> Callable[[], float]:
    """
    Make a clock that shows the time of the system now, and from then on just how
    many seconds have gone by (``CLOCK_MONOTONIC``, clock_gettime(2)).

    Twisted's own web server takes the dates of its log from a reactor's clock, so
    this one counts from the epoch too.
    """
    epoch = time() - monotonic()
    return lambda: epoch + monotonic()


def keepSteady(reactor: Any) -> Any:
    """
    Have a reactor wait by such a clock, in place of the time of the system.

    All of Twisted's reactors ask their own ``seconds`` for each timed call, and the
    system just for how long to wait.  Calls that are timed already keep
    their time: both clocks show the same now.

    :param reactor: waits (``IReactorTime``); one with a clock of its own keeps it.
    :return: the reactor.
    """
    if reactor.seconds is runtime.seconds:
        reactor.seconds = steadyClock()
        for call in reactor.getDelayedCalls():
            call.seconds = reactor.seconds
    return reactor


def globalReactor() -> IReactorTime:
    """
    Give the reactor of the process.
    """
    from twisted.internet import reactor

    return IReactorTime(reactor)
