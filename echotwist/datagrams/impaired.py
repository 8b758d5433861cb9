"""
Datagram ports that impair their replies on purpose.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from echotwist.datagrams.port import DatagramPort
from echotwist.impair.grammar import Impairments
from echotwist.impair.network import Network


def impaired(kind: type[DatagramPort], impairments: Impairments) -> type[DatagramPort]:
    """
    Make a class of ports whose replies go through an impaired network.

    :param kind: the class of ports without impairments.
    """

    class ImpairedPort(kind):  # type: ignore[misc,valid-type]
        """
        A port that sends some replies late, damaged, twice or never.
        """

        _answering: Any
        _sender: Any

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._network = Network(impairments, self.kind, self._counters.impaired)
            self._call: Any = None
            self._closed: Deferred[None] | None = None

        def write(self, datagram: bytes, addr: Any = None) -> None:
            """
            Send a datagram when and as the impaired network delivers it.
            """
            context = self._answering, getattr(self, "_sender", None)
            self._network.put(self.reactor.seconds(), datagram, addr, context)
            self._sendDue()
            self._answering, self._sender = context

        def _sendDue(self) -> None:
            for datagram, addr, context in self._network.due(self.reactor.seconds()):
                self._answering, self._sender = context
                super().write(datagram, addr)
            self._wait()

        def _wait(self) -> None:
            """
            Schedule a call for the time when the next datagram leaves.
            """
            when = self._network.next
            if self._call is not None and (when is None or self._call.getTime() > when):
                self._call.cancel()
                self._call = None
            if self._call is None and when is not None:
                pause = max(0.0, when - self.reactor.seconds())
                self._call = self.reactor.callLater(pause, self._called)
            if when is None and self._closed is not None:
                closed, self._closed = self._closed, None
                closed.callback(None)

        def _called(self) -> None:
            self._call = None
            self._sendDue()

        def drain(self, seconds: float) -> Deferred[None]:
            """
            Read no more, send the delayed datagrams, then close.

            :param seconds: the time after which the rest is dropped.
            :return: fires when the port is closed.
            """
            self.disconnecting = True
            self.stopReading()
            last = self.reactor.callLater(seconds, self.abortAll)
            self._closed = Deferred()
            self._closed.addCallback(lambda _: last.active() and last.cancel())
            self._closed.addCallback(lambda _: self.stopListening())
            drained = self._closed
            self._wait()
            return drained

        def abortAll(self) -> None:
            """
            Drop the delayed datagrams.
            """
            self._network.drop()
            self._wait()

        def connectionLost(self, reason: Any = None) -> None:
            """
            Drop the delayed datagrams, if the port is closed for good.
            """
            super().connectionLost(reason)
            if not self.connected:
                self.abortAll()

    return ImpairedPort
