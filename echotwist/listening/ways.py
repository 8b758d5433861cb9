"""
Two ways of doing the work: with what only Linux has, or on stock Twisted's parts alone.

Nobody else imports what is in ``fast/``.
"""

from __future__ import annotations

import sys

from echotwist.datagrams.port import DatagramPort
from echotwist.listening.rules import Rules
from echotwist.streams.connection import Connection

_LINUX = sys.platform == "linux"


def installReactor() -> None:
    """
    Install the fastest reactor there is, unless somebody has chosen one.
    """
    if _LINUX and "twisted.internet.reactor" not in sys.modules:
        from echotwist.fast.reactor import install

        install()


def kindsFor(rules: Rules) -> tuple[type[Connection], type[DatagramPort]]:
    """
    Choose the class of connections and that of ports of UDP, while we may read their
    files and have descriptors.
    """
    if rules.portable or not _LINUX:
        return Connection, DatagramPort
    from echotwist.fast.batch import BatchPort, works
    from echotwist.fast.connection import FastConnection
    from echotwist.fast.splice import pipe

    pipe()
    isExact = not (rules.prefix or rules.verbose)
    return FastConnection, BatchPort if isExact and works() else DatagramPort
