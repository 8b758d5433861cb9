"""
Interfaces between the parts that listen.
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
    The part that serves: this process, or several workers.

    The service opens, starts and stops it once.
    """

    listeners: Sequence[Listener] = Attribute("What is open, but for what our ports serve.")
    ports: Sequence[IListeningPort] = Attribute("The ports of this process, while it serves.")
    usesInterfaces: bool = Attribute("Some listen where ``--interface`` says; known once open.")
    text: str = Attribute("Where it listens, as a person reads it; known once open.")
    isServing: bool = Attribute("Peers are served wherever we listen.")
    health: str = Attribute("``healthy``, or more beginning so, unless only a new start helps.")

    def open() -> None:
        """
        Open all sockets, or none, and import the modules that serve them: a service may be
        confined to a folder before it starts (chroot(2)).

        :raise StartError: a socket cannot be opened, or the service cannot start.
        """

    def start() -> Deferred[None]:
        """
        Start serving.

        :return: fires when peers are served, and a signal no longer ends us without a drain.
        """

    def refresh() -> Deferred[None]:
        """
        Update the counters.
        """

    def checkAlive() -> None:
        """
        Check that all processes live.
        """

    def stop() -> Deferred[None]:
        """
        Stop listening, and echo bytes that have come and still come.

        :return: fires when nothing is left open.
        """

    def abort() -> None:
        """
        End the drain at once; if it has not begun, skip it.
        """


class IPortMaker(Interface):
    """
    A maker of the ports and factories for an endpoint's sockets.
    """

    def factory(transport: str) -> IConnectionOwner:
        """
        Return the factory for the protocols of a transport (``IProtocolFactory``).
        """

    def stream(listener: socket.socket, transport: str, factory: IProtocolFactory) -> StreamPort:
        """
        Make the port for a listening socket.
        """
