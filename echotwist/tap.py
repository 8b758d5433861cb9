"""
The ``echo`` command of ``twistd`` and ``twist``.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec

from attrs import evolve
from twisted.python import usage

from echotwist.service import EchoService, installReactor
from echotwist.settings import (
    BACKLOGS,
    COUNTS,
    LINGERS,
    LONGEST,
    PORT,
    PORTS,
    PROTOCOLS,
    WORKERS,
    Settings,
    noTime,
    notIn,
)
from echotwist.sockets import ListenError, findAll, oneLine


def _number(option: str, allowed: range) -> Callable[[str], int]:
    """
    Make what turns the text of an option into a whole number.
    """

    def coerce(text: str) -> int:
        if re.fullmatch("[0-9]{1,10}", text) and int(text) in allowed:
            return int(text)
        raise usage.UsageError(notIn(allowed, f"--{option}", text))

    return coerce


def _seconds(option: str) -> Callable[[str], float]:
    """
    Make what turns the text of an option into a time.
    """

    def coerce(text: str) -> float:
        if re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,10})?", text) and float(text) <= LONGEST:
            return float(text)
        raise usage.UsageError(noTime(f"--{option}", text))

    return coerce


def _metricsEndpoint(text: str) -> str:
    """
    Check that what serves metrics is installed.
    """
    if not find_spec("prometheus_client"):
        raise usage.UsageError(
            "--metrics needs prometheus_client: pip install 'echotwist[metrics]'"
        )
    return text


def _workers(text: str) -> int:
    """
    Turn a number of workers, or ``auto``, into what the settings call it.
    """
    try:
        return 0 if text == "auto" else _number("workers", WORKERS[1:])(text)
    except usage.UsageError as error:
        raise usage.UsageError(f"{error}, nor auto") from None


class Options(usage.Options):
    """
    What can be said on the command line.

    :ivar settings: all of it, once it has been parsed.
    """

    synopsis = "[options]"
    longdesc = "The echo service (RFC 862): what comes in goes out, over TCP, UDP and more."

    optParameters = [
        [
            "port",
            "p",
            None,
            f"TCP and UDP port; 0: any free one [default: {PORT}, if alone]",
            _number("port", PORTS),
        ],
        [
            "raw",
            None,
            None,
            "IP protocol whose packets are echoed too: 253, 254",
            _number("raw", PROTOCOLS),
        ],
        ["prefix", None, None, "text put before each line and each datagram"],
        [
            "linger",
            None,
            None,
            "seconds that a close waits for the peer; 0: reset",
            _number("linger", LINGERS),
        ],
        [
            "backlog",
            None,
            1024,
            "connections that wait to be accepted",
            _number("backlog", BACKLOGS),
        ],
        [
            "udp-rate",
            None,
            10000,
            "replies a second to one peer; 0: any number",
            _number("udp-rate", COUNTS),
        ],
        [
            "max-connections",
            None,
            0,
            "connections in all; 0: as many as files may be open",
            _number("max-connections", COUNTS),
        ],
        [
            "max-per-peer",
            None,
            0,
            "connections of one peer; 0: any number",
            _number("max-per-peer", COUNTS),
        ],
        [
            "stall-timeout",
            None,
            600.0,
            "seconds until who takes nothing is reset; 0: never",
            _seconds("stall-timeout"),
        ],
        [
            "idle-timeout",
            None,
            0.0,
            "seconds of silence that end a connection; 0: never",
            _seconds("idle-timeout"),
        ],
        ["drain", None, 10.0, "seconds that connections go on when it stops", _seconds("drain")],
        [
            "metrics",
            None,
            None,
            "endpoint for Prometheus: tcp:9464:interface=127.0.0.1",
            _metricsEndpoint,
        ],
        ["workers", None, 1, "processes that share the port; auto: one a core", _workers],
    ]

    optFlags = [
        ["systemd", None, "serve on the sockets that systemd passes"],
        ["reuse", "r", "share address and port with others (SO_REUSEPORT)"],
        ["no-tcp", None, "leave TCP out"],
        ["no-udp", None, "leave UDP out"],
        ["answer-low-ports", None, "answer datagrams from ports below 1024"],
        ["portable", None, "do without what only Linux has"],
        ["verbose", "v", "log each connection and each datagram"],
    ]

    compData = usage.Completions(
        multiUse=["interface", "listen", "unix-datagram"],
        mutuallyExclusive=[("no-tcp", "no-udp")],
        optActions={
            "interface": usage.CompleteNetInterfaces(descr="address, host or network interface"),
            "listen": usage.Completer(descr="endpoint"),
            "metrics": usage.Completer(descr="endpoint"),
            "port": usage.Completer(descr="port number"),
            "prefix": usage.Completer(descr="text"),
            "raw": usage.Completer(descr="protocol number"),
            "unix-datagram": usage.CompleteFiles(descr="path"),
            **dict.fromkeys(
                ["linger", "stall-timeout", "idle-timeout", "drain"],
                usage.Completer(descr="seconds"),
            ),
            **dict.fromkeys(
                ["backlog", "udp-rate", "max-connections", "max-per-peer", "workers"],
                usage.Completer(descr="number"),
            ),
        },
    )

    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        for name in ("interface", "listen", "unix-datagram"):
            self[name] = []

    def opt_interface(self, word: str) -> None:
        """
        address, host or network interface; repeatable [default: all]
        """
        self["interface"].append(word)

    opt_i = opt_interface

    def opt_listen(self, endpoint: str) -> None:
        """
        Twisted endpoint for streams; repeatable: unix:/run/echo.sock
        """
        self["listen"].append(endpoint)

    def opt_unix_datagram(self, path: str) -> None:
        """
        UNIX socket for datagrams; repeatable
        """
        self["unix-datagram"].append(path)

    def parseArgs(self, *words: str) -> None:
        """
        Take no words but options.
        """
        if words:
            raise usage.UsageError(f"{words[0]}: not an option; options begin with --")

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
            raise SystemExit(oneLine(error)) from None

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
                listen=self["listen"],
                unixDatagrams=self["unix-datagram"],
                systemd=bool(self["systemd"]),
                raw=self["raw"],
                reuse=bool(self["reuse"]),
                tcp=not self["no-tcp"],
                udp=not self["no-udp"],
                prefix=(self["prefix"] or "").encode("utf-8", "surrogateescape"),
                linger=self["linger"],
                backlog=self["backlog"],
                verbose=bool(self["verbose"]),
                answerLowPorts=bool(self["answer-low-ports"]),
                udpRate=self["udp-rate"],
                maxConnections=self["max-connections"],
                maxPerPeer=self["max-per-peer"],
                stallTimeout=self["stall-timeout"],
                idleTimeout=self["idle-timeout"],
                drain=self["drain"],
                metrics=self["metrics"],
                portable=bool(self["portable"]),
                workers=self["workers"],
            )
            # Opening the sockets would tell as well, but only later.
            names = self.settings.transports or ["interface"]
            findAll(self.settings.interfaces, self.settings.port, names)
        except (ListenError, ValueError) as error:
            raise usage.UsageError(str(error)) from None
        # Whoever only parses has no use for a reactor.
        if self.parent is not None and not self.settings.portable:
            installReactor()


def makeService(options: Options) -> EchoService:
    """
    Make the service that a command line asks for.

    :param options: parsed already.
    """
    return serviceFor(options.settings)


def serviceFor(settings: Settings) -> EchoService:
    """
    Make the service of one process, or of several, as the settings say.
    """
    count = settings.processes  # A quota may be another the next time.
    if count == 1:
        return EchoService(evolve(settings, workers=1))
    from echotwist.workers import WorkersService

    return WorkersService(evolve(settings, workers=count))
