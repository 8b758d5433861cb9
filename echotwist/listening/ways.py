"""
Two ways of doing the work: with what only Linux has, or with stock Twisted's parts alone.

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
    Tell which way serves.
    """
    if portable or not _LINUX:
        return "portable"
    from echotwist.fast.compiled import speedups

    return "fast: c" if speedups else "fast: python"


def kindsFor(rules: Rules) -> tuple[type[Connection], type[DatagramPort]]:
    """
    Choose the classes of connections and of UDP ports, while we may read their files
    and have descriptors.
    """
    if rules.portable or not _LINUX:
        return Connection, DatagramPort
    import echotwist.fast.bare  # noqa: F401  # lighten() may come when it cannot be read
    from echotwist.fast.batch import works
    from echotwist.fast.connection import FastConnection
    from echotwist.fast.port import BatchPort
    from echotwist.fast.splice import pipe

    pipe()
    isExact = not (rules.prefix or rules.verbose or rules.impair.effects(OF_DATAGRAMS))
    return FastConnection, BatchPort if isExact and works() else DatagramPort


def lighten(port: StreamPort) -> None:
    """
    Have a port make no more of a connection than it takes, if that can be.
    """
    if port.transport is not Connection and _LINUX:
        from echotwist.fast.bare import acceptBare

        acceptBare(port)


def echoesFor(rules: Rules) -> Callable[..., EchoFactory]:
    """
    Choose what makes the factories of streams.
    """
    if not rules.impair.effects(OF_STREAMS):
        return EchoFactory
    from echotwist.streams.impaired import ImpairedFactory

    return partial(ImpairedFactory, rules.impair)


def portFor(rules: Rules, kind: type[DatagramPort]) -> type[DatagramPort]:
    """
    Choose the class of ports of datagrams.

    :param kind: what they are if nothing goes wrong.
    """
    if not rules.impair.effects(OF_DATAGRAMS):
        return kind
    from echotwist.datagrams.impaired import impaired

    return impaired(kind, rules.impair)
