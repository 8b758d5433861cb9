"""
The commands of ``echoprobe``, and the options of each.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.python import usage

from echotwist.probe.doctor.settings import DoctorSettings
from echotwist.probe.explain.settings import ExplainSettings
from echotwist.probe.idle.settings import IdleSettings
from echotwist.probe.load.settings import LoadSettings
from echotwist.probe.mtu.settings import MtuSettings
from echotwist.probe.paths.settings import PathsSettings
from echotwist.probe.settings import PingSettings
from echotwist.probe.target import Target, targetsOf
from echotwist.probe.watch.settings import WatchSettings
from echotwist.probe.words import PROGRAM, TargetOptions
from echotwist.reactors import IReactor


class PingOptions(
    TargetOptions,
    settings=PingSettings,
    exclusive=[("rate", "interval"), ("ipv4", "ipv6"), ("json", "jsonl", "csv")],
):
    """
    The command line of ``echoprobe ping``.
    """

    command, made = "[ping]", PingSettings
    longdesc = (
        "Measure the path to an echo service, and through it. TARGET: udp:HOST:PORT, tcp:, "
        "tls:, raw:HOST:PROTOCOL, unix:PATH, unix-datagram:PATH; HOST:PORT is UDP and TCP; "
        "the port is 7 when left out. "
        "Other commands: load, doctor, idle, explain, mtu, paths, watch; see "
        f"{PROGRAM} load --help."
    )

    def measurement(self, reactor: IReactor) -> Any:
        """
        Return a measurement of all targets.
        """
        from echotwist.probe.output import writerFor
        from echotwist.probe.ping import Ping

        return Ping(reactor, self.settings, self.targets, writerFor(self.settings, sys.stdout))


class LoadOptions(
    TargetOptions,
    settings=LoadSettings,
    exclusive=[("ipv4", "ipv6")],
):
    """
    The command line of ``echoprobe load``.
    """

    command, made = "load", LoadSettings
    longdesc = (
        "Measure how much an echo service carries. Each answer triggers the next message: "
        "a flood. TARGET: udp:HOST:PORT, tcp:, tls:, raw:HOST:PROTOCOL, unix:PATH, "
        "unix-datagram:PATH; HOST:PORT is UDP, then TCP; port 7 when left out."
    )

    def measurement(self, reactor: IReactor) -> Any:
        """
        Return a measurement of all targets.
        """
        from echotwist.probe.load.measurement import Load
        from echotwist.probe.load.text import textOf
        from echotwist.probe.output import writerAtEnd

        writer = writerAtEnd(self.settings, textOf, sys.stdout)
        return Load(reactor, self.settings, self.targets, writer)


class DoctorOptions(
    TargetOptions,
    settings=DoctorSettings,
    exclusive=[("ipv4", "ipv6")],
):
    """
    The command line of ``echoprobe doctor``.
    """

    command, made = "doctor", DoctorSettings
    longdesc = (
        "Check whether an echo service is right, and if not, say what to do. TARGET: "
        "udp:HOST:PORT, tcp:, tls:, unix:PATH, unix-datagram:PATH; HOST:PORT is UDP and TCP; "
        "port 7 when left out."
    )

    def measurement(self, reactor: IReactor) -> Any:
        """
        Return an examination of all targets.
        """
        from echotwist.probe.doctor.examination import Examination
        from echotwist.probe.doctor.output import Json, Text

        writer = (Json if self.settings.json else Text)(sys.stdout)
        return Examination(reactor, self.settings, self.targets, writer)


class IdleOptions(
    TargetOptions,
    settings=IdleSettings,
    exclusive=[("ipv4", "ipv6")],
):
    """
    The command line of ``echoprobe idle``.
    """

    command, made = "idle", IdleSettings
    longdesc = (
        "Find how long NATs, firewalls and load balancers keep a silent flow. TARGET: "
        "udp:HOST:PORT, tcp:HOST:PORT; HOST:PORT is UDP and TCP; port 7 when left out."
    )

    def parseArgs(self, *words: str) -> None:
        """
        Take the targets.
        """
        super().parseArgs(*words)
        self._named = words

    def postOptions(self) -> None:
        """
        Leave out the kind of ``HOST:PORT`` for which ``--only`` names no mode.
        """
        super().postOptions()
        self.targets = [one for word in self._named for one in self._tried(targetsOf(word))]

    def _tried(self, targets: list[Target]) -> list[Target]:
        return [one for one in targets if self.settings.modesOf(one.kind)] or targets

    def measurement(self, reactor: IReactor) -> Any:
        """
        Return the searches for all targets.
        """
        from echotwist.probe.doctor.output import Json
        from echotwist.probe.idle.measurement import Idle
        from echotwist.probe.idle.text import Text

        writer = (Json if self.settings.json else Text)(sys.stdout)
        return Idle(reactor, self.settings, self.targets, writer)


class MtuOptions(
    TargetOptions,
    settings=MtuSettings,
    exclusive=[("ipv4", "ipv6")],
):
    """
    The command line of ``echoprobe mtu``.
    """

    command, made = "mtu", MtuSettings
    longdesc = (
        "Find how large packets may be, there and back. TARGET: udp:HOST:PORT, tcp:HOST:PORT; "
        "HOST:PORT is UDP and TCP; port 7 when left out; a name is tried over IPv4 and IPv6."
    )

    def measurement(self, reactor: IReactor) -> Any:
        """
        Return a search on the paths to all targets.
        """
        from echotwist.probe.mtu.measurement import PathMtu
        from echotwist.probe.mtu.text import textOf
        from echotwist.probe.output import writerAtEnd

        writer = writerAtEnd(self.settings, textOf, sys.stdout)
        return PathMtu(reactor, self.settings, self.targets, writer)


class PathsOptions(
    TargetOptions,
    settings=PathsSettings,
    exclusive=[("ipv4", "ipv6")],
):
    """
    The command line of ``echoprobe paths``.
    """

    command, made = "paths", PathsSettings
    longdesc = (
        "Find source ports that lose more, as on one bad path of several (ECMP). TARGET: "
        "udp:HOST:PORT, tcp:, tls:; HOST:PORT is UDP, then TCP; port 7 when left out."
    )

    def measurement(self, reactor: IReactor) -> Any:
        """
        Return a comparison of source ports for all targets.
        """
        from echotwist.probe.output import writerAtEnd
        from echotwist.probe.paths.measurement import Paths
        from echotwist.probe.paths.text import textOf

        writer = writerAtEnd(self.settings, textOf, sys.stdout)
        return Paths(reactor, self.settings, self.targets, writer)


class WatchOptions(
    TargetOptions,
    settings=WatchSettings,
    exclusive=[("rate", "interval"), ("ipv4", "ipv6"), ("json", "jsonl", "csv")],
):
    """
    The command line of ``echoprobe watch``.
    """

    command, made, takes = "watch", WatchSettings, "FILE"
    longdesc = (
        "Watch many echo services. FILE is TOML; each of its targets is a table: [[target]] to = "
        "'udp:192.0.2.1' name = 'gateway' rate = 2. Options apply where FILE says nothing. "
        "SIGHUP makes it read FILE again."
    )

    def parseArgs(self, *words: str) -> None:
        """
        Take the path of the file.
        """
        if len(words) != 1:
            said = "more than one file" if words else "no file of targets"
            raise usage.UsageError(f"{said}; {PROGRAM} watch --help says more")
        [self.path] = words

    def measurement(self, reactor: IReactor) -> Any:
        """
        Return a watch over all targets of the file.
        """
        from echotwist.probe.watch.output import writerFor
        from echotwist.probe.watch.watch import Watch

        return Watch(reactor, self.settings, self.path, writerFor(self.settings, sys.stdout))


class ExplainOptions(TargetOptions, settings=ExplainSettings):
    """
    The command line of ``echoprobe explain``.

    :ivar files: the paths of the captures.
    """

    command, made, takes, waits = "explain", ExplainSettings, "FILE [FILE]", False
    files: tuple[str, ...]
    longdesc = (
        "Find in captures which probes were lost, and where. FILE: a capture (pcap, pcapng) of "
        "UDP or raw IP; give two from both ends of the path."
    )

    def parseArgs(self, *words: str) -> None:
        """
        Take the paths of the captures.
        """
        if not 1 <= len(words) <= 2:
            raise usage.UsageError("explain takes one capture, or two from both ends of the path")
        self.files = words

    def measurement(self, reactor: IReactor) -> Any:
        """
        Return an explanation of the captures.
        """
        from echotwist.probe.explain.explanation import Explanation
        from echotwist.probe.explain.text import textOf
        from echotwist.probe.output import writerAtEnd

        writer = writerAtEnd(self.settings, textOf, sys.stdout)
        return Explanation(self.settings, self.files, writer)


#: The commands; the first is the default.
COMMANDS: dict[str, type[TargetOptions]] = {
    "ping": PingOptions,
    "load": LoadOptions,
    "doctor": DoctorOptions,
    "idle": IdleOptions,
    "explain": ExplainOptions,
    "mtu": MtuOptions,
    "paths": PathsOptions,
    "watch": WatchOptions,
}
