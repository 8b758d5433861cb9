"""
The base of all command lines of ``echoprobe``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from getopt import GetoptError, gnu_getopt
from typing import Any

from twisted.python import usage

from echotwist.commandline.usage import DeclaredOptions
from echotwist.commandline.versions import versions
from echotwist.probe.target import Target, targetsOf

#: The name of the program.
PROGRAM = "echoprobe"


class TargetOptions(DeclaredOptions):
    """
    The command line of a command: options, and targets.

    :cvar command: the name of the command.
    :cvar made: the class of its settings.
    :cvar takes: the arguments after its options, for the help.
    :cvar waits: the command needs a reactor.
    :ivar settings: the settings, once the command line was parsed.
    :ivar targets: the targets to probe.
    """

    command: str
    made: type[Any]
    takes = "TARGET..."
    waits = True
    settings: Any
    targets: list[Target]

    def getSynopsis(self) -> str:
        """
        Return the line that shows the usage.
        """
        return f"Usage: {PROGRAM} {self.command} [options] {self.takes}"

    def opt_version(self) -> None:
        """
        show the versions and exit
        """
        print(versions())
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line; options may follow targets.

        :raise UsageError: the command line has a mistake.
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
        Return an option as the words of a command line.
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
        Check what depends on several options.
        """
        try:
            self.settings = self.made(**dict(self.chosen()))
        except ValueError as error:
            # Settings, which a file may have too, name an option without its dashes.
            words = str(error)
            raise usage.UsageError(words if words.startswith("--") else f"--{words}") from None

    def measurement(self, reactor: Any) -> Any:
        """
        Return the measurement, which can be run and stopped.
        """
        raise NotImplementedError
