"""
The rules by which ports handle connections and datagrams.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from echotwist.impair.grammar import Impairments


@frozen(kw_only=True)
class StreamRules:
    """
    The rules for connections.

    :param maxConnections: connections at a time; 0 for as many as the limit on open
        files allows.
    :param maxPerPeer: connections of one peer at a time; 0 for no limit.
    :param isScraped: keep some open files for requests for ``/metrics``.
    :param stallTimeout: reset a peer that has taken none of its waiting bytes for so
        many seconds; 0 for never.
    :param idleTimeout: end a connection that received nothing for so many seconds;
        0 for never.
    :param drain: seconds that connections may go on when the service stops.
    """

    maxConnections: int
    maxPerPeer: int
    isScraped: bool
    stallTimeout: float
    idleTimeout: float
    drain: float


@frozen(kw_only=True)
class DatagramRules:
    """
    The rules for datagrams.

    :param rate: replies a second for each source; 0 for no limit.
    :param loopRate: repeats a second (the same bytes from one source) that are no loop;
        0 for no guard against loops.
    :param answerLowPorts: answer datagrams from ports below 1024.
    """

    rate: int
    loopRate: int
    answerLowPorts: bool


@frozen(kw_only=True)
class Rules:
    """
    The rules for streams, for datagrams, and for both.

    :param prefix: bytes put before each line of a stream and each datagram.
    :param verbose: log each connection and each datagram.
    :param portable: run on stock Twisted's parts alone, where Linux has faster ones.
    :param allow: networks whose peers are served; if there are any, no other peers are.
    :param deny: networks whose peers are not served.
    :param impair: the impairments to apply.
    """

    prefix: bytes
    verbose: bool
    portable: bool
    allow: Sequence[str]
    deny: Sequence[str]
    streams: StreamRules
    datagrams: DatagramRules
    impair: Impairments
