"""
How the program ends: a first signal drains it; a second one ends it at once; and a
failure ends it with status 1.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable
from types import FrameType

from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore

from echotwist.reactors import IReactor

#: The signal that a closing terminal sends; Windows has none.
_HANG_UP: int | None = getattr(signal, "SIGHUP", None)


def stop(reactor: IReactorCore) -> bool:
    """
    Stop the program in order, with status 0.

    :param reactor: the reactor of the program.
    :return: false if the program was stopping already.
    """
    try:
        reactor.stop()
    except ReactorNotRunning:
        return False
    return True


def stopAsFailed(reactor: IReactorCore) -> None:
    """
    Stop the program in order, with status 1, so that a supervisor restarts it.
    """
    # twistd itself would end with status 0, whatever stopped its reactor.
    atexit.register(os._exit, 1)
    stop(reactor)


class StopSignals:
    """
    Let a signal stop the program, and report the signals after it.

    The SIGHUP of a closing terminal stops the program too, unless it is ignored, as under
    nohup(1).  A daemon has no terminal, and no configuration to read again: it ignores
    SIGHUP.

    :param first: called with the name of the signal that stops the program.
    :param more: called for each later signal except SIGHUP, which a closing terminal
        may send twice: the shell sends it, and so does the kernel.
    """

    _reactor: IReactor

    def __init__(
        self,
        first: Callable[[str], object] = lambda name: None,
        more: Callable[[], object] = lambda: None,
    ) -> None:
        self._first = first
        self._more = more
        self._startedAs = os.getpid()

    def take(self, reactor: IReactor) -> None:
        """
        Handle the signals, if the reactor handles signals: then it runs the whole program.

        :param reactor: a running reactor.
        """
        self._reactor = reactor
        for number in (signal.SIGTERM, signal.SIGINT):
            if getattr(signal.getsignal(number), "__self__", None) == reactor:
                self._handle(number, self._received)
        isOurs = signal.getsignal(signal.SIGTERM) == self._received
        if isOurs and _HANG_UP and signal.getsignal(_HANG_UP) == signal.SIG_DFL:
            isDaemon = os.getpid() != self._startedAs
            self._handle(_HANG_UP, signal.SIG_IGN if isDaemon else self._received)

    def _handle(
        self, number: int, handler: Callable[[int, FrameType | None], None] | signal.Handlers
    ) -> None:
        signal.signal(number, handler)
        # Python restores the default actions before it exits; a signal at that time would
        # end it with another status.
        self._reactor.addSystemEventTrigger(
            "after", "shutdown", signal.signal, number, signal.SIG_IGN
        )

    def _received(self, number: int, _: FrameType | None) -> None:
        # A signal may come at any moment, even while another one is handled.
        self._reactor.callFromThread(self._end, number)

    def _end(self, number: int) -> None:
        if stop(self._reactor):
            self._first(signal.Signals(number).name)
        elif number != _HANG_UP:
            self._more()
