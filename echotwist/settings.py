"""
What a person can choose, checked once.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import in_, optional

#: Port numbers; 0 asks the kernel for a free one.
PORTS = range(65536)

#: Connections that may wait to be accepted, listen(2).
BACKLOGS = range(1, 65536)

#: Seconds, ``SO_LINGER`` of socket(7).  The BSDs keep a short integer.
LINGERS = range(32768)


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
