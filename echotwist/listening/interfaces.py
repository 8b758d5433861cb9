"""
What the parts that listen know of each other.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from zope.interface import Attribute, Interface

from echotwist.listening.listeners import Listener
from echotwist.streams.interfaces import IConnectionOwner
from echotwist.streams.port import StreamPort


class IServing(Interface):
    """
    What serves: this process, or several.

    It is opened, started and stopped once.
    """

    listeners: Sequence[Listener] = Attribute("What is open, but for what our ports serve.")
    ports: Sequence[IListeningPort] = Attribute("The ports of this process, while it serves.")
    usesInterfaces: bool = Attribute("Some listen where ``--interface`` says; known once open.")
    text: str = Attribute("Where it listens, as a person reads it; known once open.")
    isServing: bool = Attribute("Peers are served wherever we listen.")
    health: str = Attribute("``healthy``, or more beginning so, unless only a new start helps.")

    def open() -> None:
        """
        Open all sockets, or none, and import what serves them: a service may be confined
        to a folder before it starts (chroot(2)).

        :raise StartError: one cannot be opened, or something else keeps us from serving.
        """

    def start() -> Deferred[None]:
        """
        Begin to serve.

        :return: fires when peers are served and signals no longer end us without a drain.
        """

    def refresh() -> Deferred[None]:
        """
        Bring the counters up to date.
        """

    def checkAlive() -> None:
        """
        Check that all processes live.
        """

    def stop() -> Deferred[None]:
        """
        Listen no more, and give back what has come and still comes.

        :return: fires when nothing is left open.
        """

    def abort() -> None:
        """
        End the drain at once; if it has not begun, skip it.
        """


class IPortMaker(Interface):
    """
    Makes the ports and factories for an endpoint's sockets.
    """

    def factory(transport: str) -> IConnectionOwner:
        """
        Give what makes the protocols of a transport (``IProtocolFactory``).
        """

    def stream(listener: socket.socket, transport: str, factory: IProtocolFactory) -> StreamPort:
        """
        Make the port of a socket that listens.
        """
