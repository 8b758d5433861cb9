"""
What a person can choose, checked once.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import Attribute, field, frozen
from attrs.validators import in_, optional

#: Port numbers; 0 asks the kernel for a free one.
PORTS = range(65536)

#: Connections that may wait to be accepted, listen(2).
BACKLOGS = range(1, 65536)

#: Seconds, ``SO_LINGER`` of socket(7).  The BSDs keep a short integer.
LINGERS = range(32768)


#: What can be counted.
COUNTS = range(10**9 + 1)

#: Seconds, for which nobody waits any longer: some 24 days, what
#: ``TCP_USER_TIMEOUT`` holds in milliseconds.
LONGEST = 2_000_000


def _time(_: object, attribute: Attribute[float], seconds: float) -> None:
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"{attribute.name} {seconds}: not a time from 0 to {LONGEST} seconds")


def _words(words: Iterable[str]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)


@frozen(kw_only=True)
class Settings:
    """
    Everything that can be chosen about an echo service.

    Command lines and tac files both end here.

    :param port: the port of TCP and UDP alike; 0 takes one that is free.
    :param interfaces: addresses, host names or network interfaces' names to
        listen on; none means every address of both families.
    :param reuse: share address and port with other processes
        (``SO_REUSEPORT``).
    :param tcp: echo streams.
    :param udp: echo datagrams.
    :param prefix: bytes put before each line of a stream and each datagram.
    :param linger: seconds that a close waits for the peer (``SO_LINGER``); 0
        resets the connection; ``None`` leaves it to the kernel.
    :param backlog: connections that may wait to be accepted.
    :param verbose: log each connection and each datagram.
    :param answerLowPorts: answer datagrams from ports below 1024.
    :param udpRate: replies a second for each source; 0 for no limit.
    :param maxConnections: connections at a time; 0 for what the limit on open
        files allows.
    :param maxPerPeer: connections of one peer at a time; 0 for no limit.
    :param stallTimeout: seconds after which a peer is reset that has bytes
        waiting and takes none; 0 for never.
    :param idleTimeout: seconds after which a connection is ended on which
        nothing came; 0 for never.
    :param drain: seconds that connections may go on when the service stops.
    :param metrics: a Twisted endpoint to serve Prometheus on, if any.
    :raise ValueError: for a value that no service could run with.
    """

    port: int = field(default=1234, validator=in_(PORTS))
    interfaces: tuple[str, ...] = field(default=(), converter=_words)
    reuse: bool = False
    tcp: bool = True
    udp: bool = field(default=True)
    prefix: bytes = b""
    linger: int | None = field(default=None, validator=optional(in_(LINGERS)))
    backlog: int = field(default=1024, validator=in_(BACKLOGS))
    verbose: bool = False
    answerLowPorts: bool = False
    udpRate: int = field(default=10_000, validator=in_(COUNTS))
    maxConnections: int = field(default=0, validator=in_(COUNTS))
    maxPerPeer: int = field(default=0, validator=in_(COUNTS))
    stallTimeout: float = field(default=60.0, validator=_time)
    idleTimeout: float = field(default=0.0, validator=_time)
    drain: float = field(default=10.0, validator=_time)
    metrics: str | None = None

    @udp.validator
    def _somethingToServe(self, _: object, udp: bool) -> None:
        if not (self.tcp or udp):
            raise ValueError("--no-tcp and --no-udp together leave nothing to serve")

    @property
    def transports(self) -> tuple[str, ...]:
        """
        The names of what is served: ``TCP``, ``UDP`` or both.
        """
        return ("TCP",) * self.tcp + ("UDP",) * self.udp
