"""
The ``echo`` command of ``twistd`` and ``twist``.
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from twisted.python import usage

from echotwist.commandline.twistd import checkTwistd
from echotwist.commandline.usage import DeclaredOptions
from echotwist.commandline.versions import versions
from echotwist.listening.ways import installReactor, wayOf
from echotwist.service import EchoService
from echotwist.settings import Settings
from echotwist.sockets.errors import ListenError, oneLine
from echotwist.sockets.opening import findAll
from echotwist.telemetry.logstream import keepFromBlocking

#: How to call the program without ``twistd``.
MODULE = "python -m echotwist"


class Options(DeclaredOptions, settings=Settings, exclusive=[("no-tcp", "no-udp")]):
    """
    The command line.

    :ivar settings: the settings, once the command line is parsed.
    """

    synopsis = "[options]"
    longdesc = "The echo service (RFC 862): what comes in goes out, over TCP, UDP and more."

    settings: Settings

    def getSynopsis(self) -> str:
        """
        Return the first line of the help: how to call the command.
        """
        return f"Usage: {MODULE} [options]" if sys.argv[0] == MODULE else super().getSynopsis()

    def parseArgs(self, *words: str) -> None:
        """
        Refuse words that are not options.
        """
        if words:
            raise usage.UsageError(f"{words[0]}: not an option; options begin with --")

    def opt_version(self) -> None:
        """
        show the versions and exit
        """
        print(f"{versions()}, {wayOf(bool(self['portable']))}")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line.

        :raise UsageError: for a mistake in it.
        :raise SystemExit: for the same, when called by ``twistd`` or ``twist``:
            they would print their whole help before the one line that
            matters.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            if self.parent is None:
                raise
            raise SystemExit(oneLine(self._explained(error))) from None

    def _explained(self, error: usage.UsageError) -> Exception:
        """
        Explain that an option of ``twistd`` itself must come before ``echo``.
        """
        found = re.fullmatch("option (--?)(.+) not recognized", str(error))
        twistd: Any = self.parent
        if found is None or not {found[2], f"{found[2]}="} & {*twistd.longOpt, *twistd.shortOpt}:
            return error
        program = "twistd" if "pidfile" in twistd else "twist"
        option = f"{found[1]}{found[2]}"
        return ValueError(f"{option} is an option of {program}: it goes before echo")

    def postOptions(self) -> None:
        """
        Check the options against each other.
        """
        if self["reuse"] and not hasattr(socket, "SO_REUSEPORT"):
            raise usage.UsageError("--reuse: this system has no SO_REUSEPORT")
        if self["metrics"] is not None and not find_spec("prometheus_client"):
            raise usage.UsageError(
                "--metrics needs prometheus_client: pip install 'echotwist[metrics]'"
            )
        try:
            self.settings = Settings(**dict(self.chosen()))
            # Opening the sockets would find the error as well, but later.
            names = self.settings.transports or ["interface"]
            findAll(self.settings.interfaces, self.settings.port, names)
            if self.parent is not None:
                checkTwistd(self.parent)
        except (ListenError, ValueError) as error:
            raise usage.UsageError(str(error)) from None
        # A program that only parses needs no reactor.
        if self.parent is not None and not self.settings.portable:
            installReactor()


def makeService(options: Options) -> EchoService:
    """
    Make the service for a command line.

    :param options: the parsed command line.
    """
    # ``twist`` logs to a file object of its own; ``--log-file`` may name a pipe.
    caller: Any = options.parent or {}
    keepFromBlocking(caller.get("logFile"))
    return EchoService(options.settings, options=caller)


def serviceFor(
    settings: Settings, options: Mapping[str, Any] = MappingProxyType({})
) -> EchoService:
    """
    Make the service for settings, as :class:`EchoService` does.

    :param options: the options of ``twistd`` itself, as far as they are known.
    """
    return EchoService(settings, options=options)
