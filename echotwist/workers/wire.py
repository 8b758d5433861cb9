"""
How workers and their parent speak: descriptors, commands, and what a worker is to do.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

from attrs import frozen

from echotwist.listening.listeners import Sockets
from echotwist.listening.rules import Rules

#: Commands of the parent come in here; when it ends, the parent is gone.
COMMANDS = 0

#: What is logged goes out here, as JSON, a line for each event.
EVENTS = 1

#: Standard error goes out here, such as Python's last words.
STDERR = 2

#: The counters go out here, a line at the start and whenever they are asked for.
COUNTERS = 3

#: The :class:`Plan` comes in here, pickled; it may be too long for an environment (execve(2)).
CONFIG = 4

#: The first of the sockets to serve on.
LISTENERS = 5

#: The command to tell the counters.
TELL = b"tell"

#: The command to drain no longer.
ABORT = b"abort"

#: The command to serve on the sockets of another worker too, whose name follows...
ADOPT = b"adopt:"

#: ...and no longer.
LEAVE = b"leave:"

#: Blocked when a worker is started, so that none ends it before it listens to its parent.
#: ^C and the end of a terminal reach the parent and all workers; the workers do what the
#: parent says.
SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@frozen(kw_only=True)
class Plan:
    """
    What a worker is to do.

    :param sockets: those asked for.
    :param rules: for what comes in.
    :param reactor: the module of its reactor.
    :param folder: names of files are relative to it.
    :param name: its own.
    :param own: the descriptors of the sockets that each worker has for itself.
    :param shared: those of the sockets that all share.
    :param sizes: the last of these belong to endpoints: how many for each time that
        one listens.
    """

    sockets: Sockets
    rules: Rules
    reactor: str
    folder: str
    sizes: Sequence[int]
    name: str = ""
    own: Mapping[str, Sequence[int]] = {}
    shared: Sequence[int] = ()
