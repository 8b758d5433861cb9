"""
All settings of the service, checked once.
"""

from __future__ import annotations

import os
import socket

from attrs import field, frozen

from echotwist.commandline.declaration import (
    BACKLOGS,
    COUNTS,
    LINGERS,
    PORTS,
    Bytes,
    Flag,
    Kind,
    Networks,
    Number,
    Seconds,
    Texts,
    checked,
    manyOf,
    said,
)
from echotwist.cores import cores
from echotwist.impair.misbehaviour import Misbehaviour
from echotwist.sockets.protocols import OWNED, PROTOCOLS

#: The default port.
PORT = 1234


@frozen(kw_only=True, field_transformer=checked)
class Settings:
    """
    The settings of an echo service.

    Command lines and tac files both make one of these.

    :param port: the port of both TCP and UDP; 0 takes a free one.  By
        default 1234, unless there are other listeners: endpoints, UNIX
        datagrams, raw IP, or those of systemd.
    :param interfaces: addresses, host names or network interfaces' names to
        listen on; none means every address of both families.  They apply to the
        port, raw IP, and endpoints that name none themselves.
    :param listen: Twisted endpoints to echo streams on.
    :param unixDatagrams: names of UNIX datagram sockets; abstract ones begin
        with NUL, or with a backslash and a zero.
    :param systemd: serve on all sockets that systemd passes, except those that
        endpoints take.
    :param raw: the number of an IP protocol whose packets are echoed, if any.
    :param reuse: share address and port with other processes
        (``SO_REUSEPORT``).
    :param tcp: echo streams on the port.
    :param udp: echo datagrams on the port.
    :param prefix: bytes put before each line of a stream and each datagram.
    :param linger: seconds that a close waits for the peer (``SO_LINGER``); 0
        resets the connection; ``None`` leaves the rest to the kernel.
    :param backlog: connections that may wait to be accepted.
    :param verbose: log each connection and each datagram.
    :param answerLowPorts: answer datagrams from ports below 1024.
    :param allow: networks, or addresses, whose peers are served; if there are any,
        no other peers are served.  The longest prefix decides.
    :param deny: networks, or addresses, whose peers are not served.  ``allow`` and
        ``deny`` do not apply to UNIX sockets and the metrics.
    :param udpRate: replies a second to each peer; 0 for no limit.
    :param loopRate: repeats a second (the same bytes from one address and port) that
        are not taken for a loop; 0 for no guard against loops.
    :param maxConnections: connections at a time; 0 for what the limit on open
        files allows.
    :param maxPerPeer: connections of one peer at a time; 0 for no limit.
    :param stallTimeout: reset a peer that has taken none of its waiting bytes for
        so many seconds; 0 for never.
    :param idleTimeout: end a connection that received nothing for so many seconds;
        0 for never.
    :param drain: seconds that connections may go on when the service stops.
    :param metrics: a Twisted endpoint to serve Prometheus on, if any.
    :param portable: run on stock Twisted's parts alone, where Linux has faster ones.
    :param workers: processes that share the port; 0 for one on each core that
        this process may use, by its affinity and the quota of its container.
    :param impair: the impairments to apply: ``loss=1%,delay=50ms``.
    :raise ValueError: no service could run with this value.
    :raise TypeError: a value that should be text is not.
    """

    port: int | None = field(
        default=None,
        metadata=said(
            "port",
            Number(PORTS),
            f"TCP and UDP port; 0: any free one [default: {PORT}, if alone]",
            short="p",
            takes="port number",
        ),
    )
    interfaces: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said(
            "interface",
            Texts(),
            "address, host or interface; repeatable [default: all]",
            short="i",
            takes="address, host or network interface",
        ),
    )
    listen: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said(
            "listen",
            Texts(),
            "Twisted endpoint for streams; repeatable: unix:/run/echo.sock",
            takes="endpoint",
        ),
    )
    unixDatagrams: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said(
            "unix-datagram", Texts(), "UNIX socket for datagrams; repeatable", takes="path"
        ),
    )
    systemd: bool = field(
        default=False, metadata=said("systemd", Flag(), "serve on the sockets that systemd passes")
    )
    raw: int | None = field(
        default=None,
        metadata=said(
            "raw",
            Number(PROTOCOLS),
            "IP protocol whose packets are echoed too: 253, 254",
            takes="protocol number",
        ),
    )
    reuse: bool = field(
        default=False,
        metadata=said(
            "reuse", Flag(), "share address and port with others (SO_REUSEPORT)", short="r"
        ),
    )
    tcp: bool = field(
        default=True, metadata=said("no-tcp", Flag(False), "do not serve TCP on --port")
    )
    udp: bool = field(
        default=True, metadata=said("no-udp", Flag(False), "do not serve UDP on --port")
    )
    prefix: bytes = field(
        default=b"",
        metadata=said(
            "prefix", Bytes(), "text put before each line and each datagram", takes="text"
        ),
    )
    linger: int | None = field(
        default=None,
        metadata=said(
            "linger",
            Number(LINGERS),
            "seconds that a close waits for the peer; 0: reset",
            takes="seconds",
        ),
    )
    backlog: int = field(
        default=1024,
        metadata=said("backlog", Number(BACKLOGS), "connections that wait to be accepted"),
    )
    verbose: bool = field(
        default=False,
        metadata=said("verbose", Flag(), "log each connection and each datagram", short="v"),
    )
    answerLowPorts: bool = field(
        default=False,
        metadata=said("answer-low-ports", Flag(), "answer datagrams from ports below 1024"),
    )
    allow: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("allow", Networks(), "serve this network, and no other; repeatable"),
    )
    deny: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("deny", Networks(), "do not serve this network; repeatable"),
    )
    udpRate: int = field(
        default=10_000,
        metadata=said("udp-rate", Number(COUNTS), "replies a second to one peer; 0: any"),
    )
    loopRate: int = field(
        default=100,
        metadata=said("loop-rate", Number(COUNTS), "repeats a second; more: a loop; 0: any"),
    )
    maxConnections: int = field(
        default=0,
        metadata=said(
            "max-connections", Number(COUNTS), "connections at a time; 0: as files allow"
        ),
    )
    maxPerPeer: int = field(
        default=0,
        metadata=said("max-per-peer", Number(COUNTS), "connections of one peer; 0: any number"),
    )
    stallTimeout: float = field(
        default=900.0,
        metadata=said(
            "stall-timeout", Seconds(), "reset a peer that takes nothing for so long; 0: never"
        ),
    )
    idleTimeout: float = field(
        default=0.0,
        metadata=said(
            "idle-timeout",
            Seconds(),
            "end a connection that is silent for so long; 0: never",
        ),
    )
    drain: float = field(
        default=10.0,
        metadata=said("drain", Seconds(), "seconds for connections when it stops"),
    )
    metrics: str | None = field(
        default=None,
        metadata=said(
            "metrics",
            Kind(),
            "endpoint for Prometheus: tcp:9464:interface=127.0.0.1",
            takes="endpoint",
        ),
    )
    portable: bool = field(
        default=False, metadata=said("portable", Flag(), "use nothing that only Linux has; slower")
    )
    workers: int = field(
        default=1,
        metadata=said(
            "workers", Number(range(1, 257), {"auto": 0}), "processes; auto: one for each core"
        ),
    )
    impair: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("impair", Misbehaviour(), "misbehave on purpose: loss=1%,delay=50ms"),
    )

    def __attrs_post_init__(self) -> None:
        """
        Check the settings against each other.
        """
        others = self.listen or self.unixDatagrams or self.systemd or self.raw is not None
        if self.port is None and not others:
            object.__setattr__(self, "port", PORT)
        if self.raw in OWNED:
            raise ValueError(
                f"raw {self.raw}: the kernel itself has that protocol ({OWNED[self.raw]}); "
                "253 and 254 are for experiments (RFC 3692)"
            )
        if self.port is None and not (self.tcp and self.udp):
            name = "udp" if self.tcp else "tcp"
            raise ValueError(f"--no-{name} leaves {name.upper()} out of --port, which is not given")
        if not (self.tcp or self.udp):
            raise ValueError("without TCP (--no-tcp) and UDP (--no-udp) there is nothing to serve")
        if (self.allow or self.deny) and not self._hasAddresses:
            name = "allow" if self.allow else "deny"
            raise ValueError(
                f"--{name} is for addresses; the mode of a UNIX socket says who may use it"
            )
        if self.workers != 1 and not (hasattr(socket, "SO_REUSEPORT") and hasattr(os, "fork")):
            raise ValueError("workers: this system has no SO_REUSEPORT, or starts no processes")

    @property
    def _hasAddresses(self) -> bool:
        """
        Tell whether peers of a listener may have addresses.
        """
        hasNumber = self.port is not None or self.raw is not None
        return hasNumber or self.systemd or not all(one.startswith("unix:") for one in self.listen)

    @property
    def processes(self) -> int:
        """
        The number of processes that serve.
        """
        return self.workers or cores()

    @property
    def transports(self) -> tuple[str, ...]:
        """
        The names of the transports on the port: ``TCP``, ``UDP`` or both.
        """
        if self.port is None:
            return ()
        return ("TCP",) * self.tcp + ("UDP",) * self.udp
