"""
Choose between two ways: the faster parts for Linux, or the parts of stock Twisted alone.

No other module imports from ``fast/``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from echotwist.datagrams.port import DatagramPort
from echotwist.impair.grammar import OF_DATAGRAMS, OF_STREAMS
from echotwist.listening.rules import Rules
from echotwist.streams.connection import Connection
from echotwist.streams.factory import EchoFactory
from echotwist.streams.port import StreamPort

_LINUX = sys.platform == "linux"


def installReactor() -> None:
    """
    Install the fastest reactor there is, unless one is installed already.
    """
    if _LINUX and "twisted.internet.reactor" not in sys.modules:
        from echotwist.fast.reactor import install

        install()


def wayOf(portable: bool) -> str:
    """
    Name the way that serves.
    """
    if portable or not _LINUX:
        return "portable"
    from echotwist.fast.compiled import speedups

    return "fast: c" if speedups else "fast: python"


def kindsFor(rules: Rules) -> tuple[type[Connection], type[DatagramPort]]:
    """
    Choose the classes of connections and of UDP ports while the process can still read
    their files and open descriptors.
    """
    if rules.portable or not _LINUX:
        return Connection, DatagramPort
    import echotwist.fast.bare  # noqa: F401  # lighten() may run when it cannot be read
    from echotwist.fast.batch import works
    from echotwist.fast.connection import FastConnection
    from echotwist.fast.port import BatchPort
    from echotwist.fast.splice import pipe

    pipe()
    isExact = not (rules.prefix or rules.verbose or rules.impair.effects(OF_DATAGRAMS))
    return FastConnection, BatchPort if isExact and works() else DatagramPort


def lighten(port: StreamPort) -> None:
    """
    Keep the connections of a port bare, if that is possible.
    """
    if port.transport is not Connection and _LINUX:
        from echotwist.fast.bare import acceptBare

        acceptBare(port)


def echoesFor(rules: Rules) -> Callable[..., EchoFactory]:
    """
    Choose the class or function that makes the factories of streams.
    """
    if not rules.impair.effects(OF_STREAMS):
        return EchoFactory
    from echotwist.streams.impaired import ImpairedFactory

    return partial(ImpairedFactory, rules.impair)


def portFor(rules: Rules, kind: type[DatagramPort]) -> type[DatagramPort]:
    """
    Choose the class of datagram ports.

    :param kind: the class of ports without impairments.
    """
    if not rules.impair.effects(OF_DATAGRAMS):
        return kind
    from echotwist.datagrams.impaired import impaired

    return impaired(kind, rules.impair)
