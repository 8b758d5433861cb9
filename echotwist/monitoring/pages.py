"""
The factory of the pages, with the ports that accept requests for them.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from twisted.internet.interfaces import IProtocolFactory
from zope.interface import implementer

from echotwist.listening.interfaces import IPortMaker
from echotwist.listening.ports import portOf
from echotwist.pages.serving import Page, Pages
from echotwist.reactors import IReactor
from echotwist.streams.interfaces import IConnectionOwner
from echotwist.streams.limits import Limits
from echotwist.streams.port import StreamPort
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.log import RateLimitedLog


@implementer(IPortMaker, IConnectionOwner)
class Site(Pages):
    """
    Serve pages on the endpoint of ``--metrics``.

    For this endpoint (:class:`EndpointReactor`) it stands in for the factory of echoes and
    for :class:`Ports`.

    :param pages: the pages by their paths.
    :param reactor: the clock of timeouts (``IReactorTime``).
    :param most: connections at a time.
    """

    prefix = b""

    def __init__(
        self, pages: Mapping[bytes, Page], reactor: IReactor, most: int | None = None
    ) -> None:
        self.limits = Limits()
        self.limitedLog = RateLimitedLog(Counters("metrics"))
        super().__init__(pages, reactor, lambda: self.limitedLog.broke("page"), most)

    def factory(self, transport: str) -> Site:
        """
        Return the factory of the protocols: this one, for any transport.
        """
        return self

    def stream(
        self, listener: socket.socket, transport: str, factory: IProtocolFactory
    ) -> StreamPort:
        """
        Make the port for a listening socket.
        """
        port = portOf(listener, factory, self.limitedLog, self._reactor)
        # The oldest connection is closed before the next one is accepted.
        port.accepts = 1
        return port

    def admits(self, *who: object) -> bool:
        """
        Admit every peer.
        """
        return True

    #: For a peer that has not sent its PROXY header yet.
    handshakeStarted, handshakeFinished = Pages.opened, Pages.closed
