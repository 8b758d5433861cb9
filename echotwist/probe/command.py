"""
The program ``echoprobe``: run the command of a command line.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

from twisted.python import usage
from twisted.python.failure import Failure

from echotwist.probe.options import COMMANDS
from echotwist.probe.places import ProbeError
from echotwist.probe.result import TOO_SLOW, USAGE
from echotwist.probe.stdout import WriteError, discard, standardOutput
from echotwist.probe.words import PROGRAM, TargetOptions
from echotwist.reactors import IReactor
from echotwist.sockets.errors import inWords


def main() -> None:
    """
    Run the program, with the command line of this process.
    """
    sys.stdout = standardOutput()
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # The reader of the output has closed it.
        status = 0
    except OSError as error:
        what = "cannot write: " if isinstance(error, WriteError) else ""
        _complain(f"{what}{inWords(error)}")
        status = TOO_SLOW
    except BaseException:
        with suppress(OSError):
            sys.stdout.flush()
        raise
    finally:
        # Python must neither write the rest again nor report that it could not.
        discard()
    raise SystemExit(status)


def _complain(text: str) -> None:
    with suppress(OSError):  # The terminal may be gone.
        print(f"{PROGRAM}: {' '.join(text.split())}", file=sys.stderr)


def run(words: Sequence[str]) -> int:
    """
    Run the program.

    :param words: the words of the command line.
    :return: its exit status.
    """
    isNamed = bool(words) and words[0] in COMMANDS
    options = COMMANDS[words[0] if isNamed else "ping"]()
    try:
        options.parseOptions(list(words[isNamed:]))
        return _measure(options) if options.waits else int(options.measurement(None).run())
    except (usage.UsageError, ProbeError) as error:
        _complain(str(error))
        return USAGE


def _measure(options: TargetOptions) -> int:
    _installReactor(options.settings.reactor)
    from twisted.internet import reactor as installed
    from twisted.internet.defer import maybeDeferred
    from twisted.internet.error import ReactorNotRunning
    from twisted.logger import ILogObserver, globalLogBeginner
    from zope.interface import implementer

    reactor = cast(IReactor, installed)
    measurement = options.measurement(reactor)
    ended: list[Any] = []

    def end(result: object) -> None:
        ended.append(result)
        with suppress(ReactorNotRunning):  # The reactor is stopping already.
            reactor.stop()

    @implementer(ILogObserver)
    def hear(event: Mapping[str, Any]) -> None:
        # Twisted would only log an unexpected error, and stop reading from this socket.
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None:
            end(failure)

    globalLogBeginner.beginLoggingTo([hear], discardBuffer=True, redirectStandardIO=False)
    reactor.addSystemEventTrigger("before", "shutdown", measurement.stop)
    reactor.callWhenRunning(lambda: maybeDeferred(measurement.run).addBoth(end))
    _hearSignals(reactor, getattr(measurement, "reload", None))
    reactor.run(installSignalHandlers=False)
    result = ended[0]
    if isinstance(result, Failure):
        result.raiseException()
    return int(result)


def _hearSignals(reactor: IReactor, reload: Callable[[], None] | None) -> None:
    """
    Let signals end the measurement; signals that are ignored, as under nohup(1), stay so.

    :param reload: called for a SIGHUP that does not come from a terminal that closes.
    """
    stop: Callable[[], None] = partial(_stop, reactor)
    heard = dict.fromkeys(("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"), stop)
    if reload is not None:
        heard["SIGHUP"] = _unlessHungUp(reload, stop)
    for name, call in heard.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_, call=call: reactor.callFromThread(call))


def _unlessHungUp(reload: Callable[[], None], stop: Callable[[], None]) -> Callable[[], None]:
    hadTerminal = _hasTerminal()
    return lambda: stop() if hadTerminal and not _hasTerminal() else reload()


def _hasTerminal() -> bool:
    """
    Tell whether this process has a controlling terminal (tty(4)).
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY))
    except OSError:
        return False
    return True


def _stop(reactor: IReactor) -> None:
    if reactor.running:
        reactor.stop()


def _installReactor(name: str | None) -> None:
    from twisted.application.reactors import NoSuchReactor, installReactor

    if name is not None:
        try:
            installReactor(name)
        except (NoSuchReactor, ImportError):
            raise ProbeError(f"--reactor {name}: Twisted has none of that name here") from None
