"""
What the parts of a stream know of each other.
"""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface

from echotwist.streams.limits import Limits
from echotwist.telemetry.log import RateLimitedLog


class IHandshake(Interface):
    """
    A protocol whose peer must do something before it is served.
    """

    handshake: str = Attribute("What that is, for the log: ``TLS handshake``.")
    givenUp: bool = Attribute("We wait for it no more.")
    transport: Any = Attribute("The connection.")


class IBareConnections(Interface):
    """
    Connections that are open, but have no objects of Twisted's yet.
    """

    def __len__() -> int:
        """
        Tell how many there are.
        """

    def settle() -> None:
        """
        Count what was echoed.
        """

    def makeWaiting() -> bool:
        """
        Make the objects of those whose peer may have stopped taking its bytes, so that it
        is watched.

        :return: whether to ask again.
        """

    def makeAll() -> None:
        """
        Make the objects of all.
        """


class IConnectionOwner(Interface):
    """
    Admits connections, and watches their handshakes.
    """

    prefix: bytes = Attribute("What is put before each line.")
    limits: Limits = Attribute("Which peers are served.")
    limitedLog: RateLimitedLog = Attribute("Is told of errors and refusals.")

    def admits(host: str | None, peer: object = None) -> bool:
        """
        Tell whether a connection is admitted; one that is not is counted.

        :param host: its address; ``None`` while it is unknown.
        :param peer: the peer for the log, if there is one to name.
        """

    def handshakeStarted(connection: IHandshake) -> None:
        """
        Reset a connection whose peer does not finish its handshake in time.
        """

    def handshakeFinished(connection: IHandshake) -> None:
        """
        Hear that a handshake is finished, or the connection gone.
        """
