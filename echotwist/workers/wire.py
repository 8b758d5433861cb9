"""
The protocol between workers and their parent: descriptors, commands, and plans.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

from attrs import frozen

from echotwist.listening.listeners import Sockets
from echotwist.listening.rules import Rules

#: The worker reads commands of the parent here; at its end the parent is gone.
COMMANDS = 0

#: The worker writes its log here, as JSON, a line for each event.
EVENTS = 1

#: The worker's standard error, such as Python's last words.
STDERR = 2

#: The worker writes its counters here, a line at the start and at each request.
COUNTERS = 3

#: The worker reads its pickled :class:`Plan` here; an environment may be too short for it
#: (execve(2)).
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

#: Signals blocked while a worker starts, so that none ends it before it reads commands.
#: ^C and the end of a terminal reach the parent and all workers; the workers obey the
#: parent.
SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@frozen(kw_only=True)
class Plan:
    """
    The plan of a worker.

    :param sockets: the sockets that the settings ask for.
    :param rules: the rules for connections and datagrams.
    :param reactor: the module of its reactor.
    :param folder: the folder that names of files are relative to.
    :param name: the name of the worker.
    :param own: for each worker, the descriptors of its own sockets.
    :param shared: the descriptors of the sockets that all workers share.
    :param sizes: how many of the last shared sockets an endpoint takes, for each time
        that one listens.
    """

    sockets: Sockets
    rules: Rules
    reactor: str
    folder: str
    sizes: Sequence[int]
    name: str = ""
    own: Mapping[str, Sequence[int]] = {}
    shared: Sequence[int] = ()
