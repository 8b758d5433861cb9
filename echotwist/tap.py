"""
The ``echo`` command of ``twistd`` and ``twist``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from importlib.metadata import version

from twisted.python import usage

from echotwist.service import EchoService
from echotwist.settings import BACKLOGS, LINGERS, PORTS, Settings
from echotwist.sockets import ListenError, findAll


def _number(option: str, allowed: range) -> Callable[[str], int]:
    """
    Make what turns the text of an option into a whole number.
    """

    def coerce(text: str) -> int:
        if text.isascii() and text.isdigit() and int(text) in allowed:
            return int(text)
        raise usage.UsageError(
            f"--{option} {text}: not a whole number from {allowed[0]} to {allowed[-1]}"
        )

    return coerce


class Options(usage.Options):
    """
    What can be said on the command line.

    :ivar settings: all of it, once it has been parsed.
    """

    synopsis = "[options]"
    longdesc = "The echo service (RFC 862): what comes in goes out, over TCP and UDP."

    optParameters = [
        ["port", "p", 1234, "TCP and UDP port; 0: any free one", _number("port", PORTS)],
        ["prefix", None, None, "text put before each line and each datagram"],
        [
            "linger",
            None,
            None,
            "seconds of SO_LINGER; 0: reset on close",
            _number("linger", LINGERS),
        ],
        ["backlog", None, 1024, "connections waiting to be accepted", _number("backlog", BACKLOGS)],
    ]

    optFlags = [
        ["reuse", "r", "share address and port with others (SO_REUSEPORT)"],
        ["no-tcp", None, "leave TCP out"],
        ["no-udp", None, "leave UDP out"],
        ["verbose", "v", "log each connection and each datagram"],
    ]

    compData = usage.Completions(
        multiUse=["interface"],
        mutuallyExclusive=[("no-tcp", "no-udp")],
        optActions={
            "interface": usage.CompleteNetInterfaces(descr="address, host or network interface"),
            "port": usage.Completer(descr="port number"),
            "prefix": usage.Completer(descr="text"),
            "linger": usage.Completer(descr="seconds"),
            "backlog": usage.Completer(descr="number of connections"),
        },
    )

    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        self["interface"] = []

    def opt_interface(self, word: str) -> None:
        """
        address, host or network interface to listen on; repeatable;
        default: everywhere
        """
        self["interface"].append(word)

    opt_i = opt_interface

    def opt_version(self) -> None:
        """
        show the versions and exit
        """
        print(f"echotwist {version('echotwist')}, Twisted {version('Twisted')}")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line.

        :raise UsageError: for a mistake in it.
        :raise SystemExit: for the same, when called by ``twistd`` or ``twist``:
            they would print all of their own help before the one line that
            matters.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            if self.parent is None:
                raise
            raise SystemExit(f"echo: {error}") from None

    def postOptions(self) -> None:
        """
        Check what only shows when all options are known.
        """
        if self["reuse"] and not hasattr(socket, "SO_REUSEPORT"):
            raise usage.UsageError("--reuse: this system has no SO_REUSEPORT")
        try:
            self.settings = Settings(
                port=self["port"],
                interfaces=self["interface"],
                reuse=bool(self["reuse"]),
                tcp=not self["no-tcp"],
                udp=not self["no-udp"],
                prefix=(self["prefix"] or "").encode("utf-8", "surrogateescape"),
                linger=self["linger"],
                backlog=self["backlog"],
                verbose=bool(self["verbose"]),
            )
            findAll(self.settings.interfaces, self.settings.port, self.settings.transports)
        except (ListenError, ValueError) as error:
            raise usage.UsageError(str(error)) from None


def makeService(options: Options) -> EchoService:
    """
    Make the service that a command line asks for.

    :param options: parsed already.
    """
    return EchoService(options.settings)
