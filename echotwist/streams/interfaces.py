"""
Interfaces between the parts of a stream.
"""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface

from echotwist.streams.limits import Limits
from echotwist.telemetry.log import RateLimitedLog


class IHandshake(Interface):
    """
    A protocol whose peer must finish a handshake before it is served.
    """

    handshake: str = Attribute("What that is, for the log: ``TLS handshake``.")
    givenUp: bool = Attribute("We wait for it no more.")
    transport: Any = Attribute("The connection.")


class IBareConnections(Interface):
    """
    Open connections that have no Twisted objects yet.
    """

    def __len__() -> int:
        """
        Return how many there are.
        """

    def settle() -> None:
        """
        Count the bytes echoed since the last time.
        """

    def makeWaiting() -> bool:
        """
        Make the objects of connections whose peer may have stopped taking its bytes, so that
        the factory watches them.

        :return: whether to call this again later.
        """

    def makeAll() -> None:
        """
        Make the objects of all connections.
        """


class IConnectionOwner(Interface):
    """
    An owner that admits connections, and watches their handshakes.
    """

    prefix: bytes = Attribute("What is put before each line.")
    limits: Limits = Attribute("Which peers are served.")
    limitedLog: RateLimitedLog = Attribute("Is told of errors and refusals.")

    def admits(host: str | None, peer: object = None) -> bool:
        """
        Tell whether a connection is admitted; count one that is not.

        :param host: the peer's address; ``None`` while it is unknown.
        :param peer: the peer for the log, if there is one to name.
        """

    def handshakeStarted(connection: IHandshake) -> None:
        """
        Start the time limit for a handshake, after which the connection is reset.
        """

    def handshakeFinished(connection: IHandshake) -> None:
        """
        Stop the time limit: the handshake is finished, or the connection closed.
        """
