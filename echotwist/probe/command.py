"""
``echoprobe``: the command line, and what runs it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from getopt import GetoptError, gnu_getopt
from importlib.metadata import version
from typing import Any

from twisted.python import usage
from twisted.python.failure import Failure

from echotwist.commandline.usage import DeclaredOptions
from echotwist.probe.doctor.settings import DoctorSettings
from echotwist.probe.places import ProbeError
from echotwist.probe.result import TOO_SLOW, USAGE
from echotwist.probe.settings import PingSettings
from echotwist.probe.stdout import WriteError, discard, standardOutput
from echotwist.probe.target import Target, targetsOf
from echotwist.sockets.errors import inWords

PROGRAM = "echoprobe"


class TargetOptions(DeclaredOptions):
    """
    What can be said to any command: options, and targets.

    :cvar command: its name.
    :cvar made: the settings of it.
    :ivar settings: all options, once they have been parsed.
    :ivar targets: what to probe.
    """

    command: str
    made: type[Any]
    settings: Any
    targets: list[Target]

    def getSynopsis(self) -> str:
        """
        Say how it is called.
        """
        return f"Usage: {PROGRAM} {self.command} [options] TARGET..."

    def opt_version(self) -> None:
        """
        show the versions and exit
        """
        print(f"echotwist {version('echotwist')}, Twisted {version('Twisted')}")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line, in which options may come after targets.

        :raise UsageError: for a mistake in it.
        """
        words = list(sys.argv[1:] if options is None else options)
        try:
            found, rest = gnu_getopt(words, self.shortOpt, self.longOpt)
        except GetoptError as error:
            raise usage.UsageError(str(error)) from None
        said = [word for name, value in found for word in self._words(name, value)]
        super().parseOptions([*said, "--", *rest])

    def _words(self, name: str, value: str) -> list[str]:
        """
        Give an option as the words that it was said with.
        """
        if name.startswith("--"):
            return [f"{name}={value}" if f"{name[2:]}=" in self.longOpt else name]
        return [name, value] if f"{name[1]}:" in self.shortOpt else [name]

    def parseArgs(self, *words: str) -> None:
        """
        Take the targets.
        """
        if not words:
            raise usage.UsageError(f"no target, such as udp:192.0.2.1; {PROGRAM} --help says more")
        try:
            self.targets = [target for word in words for target in targetsOf(word)]
        except ValueError as error:
            raise usage.UsageError(str(error)) from None

    def postOptions(self) -> None:
        """
        Check what only shows when all options are known.
        """
        try:
            self.settings = self.made(**dict(self.chosen()))
        except ValueError as error:
            raise usage.UsageError(str(error)) from None

    def measurement(self, reactor: Any) -> Any:
        """
        Give what is to be run, and can be stopped.
        """
        raise NotImplementedError


class PingOptions(
    TargetOptions,
    settings=PingSettings,
    exclusive=[("rate", "interval"), ("ipv4", "ipv6"), ("json", "jsonl", "csv")],
):
    """
    What can be said to ``echoprobe ping``.
    """

    command, made = "[ping]", PingSettings
    longdesc = (
        "Measure the path to an echo service, and through it. TARGET: udp:HOST:PORT, tcp:, "
        "tls:, raw:HOST:PROTOCOL, unix:PATH, unix-datagram:PATH; HOST:PORT is UDP and TCP; "
        f"the port is 7 when left out. Another command is doctor: {PROGRAM} doctor --help."
    )

    def measurement(self, reactor: Any) -> Any:
        """
        Give a measurement of all targets.
        """
        from echotwist.probe.output import writerFor
        from echotwist.probe.ping import Ping

        return Ping(reactor, self.settings, self.targets, writerFor(self.settings, sys.stdout))


class DoctorOptions(
    TargetOptions,
    settings=DoctorSettings,
    exclusive=[("ipv4", "ipv6")],
):
    """
    What can be said to ``echoprobe doctor``.
    """

    command, made = "doctor", DoctorSettings
    longdesc = (
        "Is this echo service right? If not, what is to be done? TARGET: udp:HOST:PORT, "
        "tcp:, tls:, unix:PATH, unix-datagram:PATH; HOST:PORT is UDP and TCP; port 7 when left out."
    )

    def measurement(self, reactor: Any) -> Any:
        """
        Give an examination of all targets.
        """
        from echotwist.probe.doctor.examination import Examination
        from echotwist.probe.doctor.output import Json, Text

        writer = (Json if self.settings.json else Text)(sys.stdout)
        return Examination(reactor, self.settings, self.targets, writer)


#: The commands; the first is that which is meant where none is said.
COMMANDS: dict[str, type[TargetOptions]] = {"ping": PingOptions, "doctor": DoctorOptions}


def main() -> None:
    """
    Run the program, with the command line of this process.
    """
    sys.stdout = standardOutput()
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # Whoever read this has enough.
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
        # What could not be written is not tried again, and not told by Python.
        discard()
    raise SystemExit(status)


def _complain(text: str) -> None:
    with suppress(OSError):  # The terminal may be gone, and nobody be there to read it.
        print(f"{PROGRAM}: {' '.join(text.split())}", file=sys.stderr)


def run(words: Sequence[str]) -> int:
    """
    Run the program.

    :param words: of its command line.
    :return: its exit status.
    """
    isNamed = bool(words) and words[0] in COMMANDS
    options = COMMANDS[words[0] if isNamed else "ping"]()
    try:
        options.parseOptions(list(words[isNamed:]))
        return _measure(options)
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

    reactor: Any = installed
    measurement = options.measurement(reactor)
    ended: list[Any] = []

    def end(result: object) -> None:
        ended.append(result)
        with suppress(ReactorNotRunning):  # It stops already.
            reactor.stop()

    @implementer(ILogObserver)
    def hear(event: Mapping[str, Any]) -> None:
        # What a reader did not expect would only be logged, and nobody be read from any more.
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None:
            end(failure)

    globalLogBeginner.beginLoggingTo([hear], discardBuffer=True, redirectStandardIO=False)
    reactor.addSystemEventTrigger("before", "shutdown", measurement.stop)
    reactor.callWhenRunning(lambda: maybeDeferred(measurement.run).addBoth(end))
    _stopBySignals(reactor)
    reactor.run(installSignalHandlers=False)
    result = ended[0]
    if isinstance(result, Failure):
        result.raiseException()
    return int(result)


def _stopBySignals(reactor: Any) -> None:
    """
    Have signals end what is measured; those that are ignored, as nohup(1) has it, still are.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: reactor.callFromThread(_stop, reactor))


def _stop(reactor: Any) -> None:
    if reactor.running:
        reactor.stop()


def _installReactor(name: str | None) -> None:
    from twisted.application.reactors import NoSuchReactor, installReactor

    if name is not None:
        try:
            installReactor(name)
        except (NoSuchReactor, ImportError):
            raise ProbeError(f"reactor {name}: Twisted has none of that name here") from None
