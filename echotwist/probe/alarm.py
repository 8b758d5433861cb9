"""
Timers that call a function in a reactor, on time.

``callLater`` is late by half a millisecond, since reactors wait in milliseconds; a
timerfd (timerfd_create(2)) by 0.05 ms.  On systems other than Linux, ``callLater`` is used.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from time import CLOCK_MONOTONIC, monotonic_ns
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from echotwist.probe.schedule import SECOND
from echotwist.reactors import IReactor

#: ``TFD_TIMER_ABSTIME`` of ``sys/timerfd.h``, and ``PR_SET_TIMERSLACK`` of prctl(2).
_ABSOLUTE, _SET_SLACK = 1, 29


class DelayedAlarm:
    """
    An alarm that rings by the reactor's own clock.

    :param reactor: the reactor (``IReactorTime``).
    :param ring: the function to call.
    """

    def __init__(self, reactor: IReactor, ring: Callable[[], None]) -> None:
        self._reactor = reactor
        self._ring = ring
        self._call: Any = None

    def set(self, at: int | None) -> None:
        """
        Ring at a time of the monotonic clock, in nanoseconds, or not at all; a time
        that was set before no longer counts.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        if at is not None:
            delay = max(0, at - monotonic_ns()) / SECOND
            self._call = self._reactor.callLater(delay, self._ring)

    def stop(self) -> None:
        """
        Stop the alarm.
        """
        self.set(None)


@implementer(IReadDescriptor)
class TimerAlarm:
    """
    An alarm that rings by a timer of the kernel.

    :param reactor: the reactor (``IReactorFDSet``).
    :param ring: the function to call.
    :raise OSError: the system has no such timers.
    """

    def __init__(self, reactor: IReactor, ring: Callable[[], None]) -> None:
        self._reactor = reactor
        self._ring = ring
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._fd = self._libc.timerfd_create(CLOCK_MONOTONIC, flags)
        # With the default slack, select(2) would be late by 50 µs, too.
        self._libc.prctl(_SET_SLACK, 1, 0, 0, 0)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        # ``struct itimerspec``: from one ring to the next, which is none; and the first.
        self._spec = (ctypes.c_long * 4)()
        reactor.addReader(self)

    def set(self, at: int | None) -> None:
        """
        Ring at a time of the monotonic clock, in nanoseconds, or not at all; a time
        that was set before no longer counts.
        """
        # A time of 0 would stop the timer; a time in the past rings at once.
        seconds, rest = (0, 0) if at is None else divmod(max(1, at), SECOND)
        self._spec[2], self._spec[3] = seconds, rest
        self._libc.timerfd_settime(self._fd, _ABSOLUTE, self._spec, None)

    def stop(self) -> None:
        """
        Stop the alarm.
        """
        if self._fd >= 0:
            self._reactor.removeReader(self)
            os.close(self._fd)
            self._fd = -1

    def fileno(self) -> int:
        """
        Return the descriptor of the timer.
        """
        return int(self._fd)

    def doRead(self) -> None:
        """
        Ring.
        """
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # The timer was set again meanwhile.
            return
        self._ring()

    def logPrefix(self) -> str:
        """
        Return the log prefix of the timer's events.
        """
        return "alarm"

    def connectionLost(self, reason: object) -> None:
        """
        The reactor stops.
        """


def alarm(reactor: IReactor, ring: Callable[[], None]) -> DelayedAlarm | TimerAlarm:
    """
    Make the best alarm that the system has.
    """
    if sys.platform == "linux":
        try:
            return TimerAlarm(reactor, ring)
        except (OSError, AttributeError):
            pass
    return DelayedAlarm(reactor, ring)
