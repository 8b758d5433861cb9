"""
The echo of streams as the service has it: counted, limited and watched.
"""

from __future__ import annotations

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import Attribute

from echotwist.echo import Echo
from echotwist.streams.interfaces import IConnectionOwner
from echotwist.telemetry.counters import Counters


class IEchoOwner(IConnectionOwner):
    """
    Counts, limits and watches echoes.
    """

    counters: Counters = Attribute("What happened.")

    def opened(echo: CountedEcho) -> None:
        """
        Hear that a connection began.
        """

    def wrote(echo: CountedEcho) -> None:
        """
        Hear that there may be bytes that a peer has yet to take.
        """

    def closed(echo: CountedEcho, reason: Failure) -> None:
        """
        Hear that a connection ended.
        """


class CountedEcho(Echo):
    """
    An echo that is counted, limited and watched.

    :param owner: counts, limits and watches.
    :param host: the peer's address; nothing if it has none.
    :ivar received: how many bytes have come in.
    :ivar watched: the owner knows that there may be bytes to take.
    :ivar ending: no more will be read.
    :ivar why: why we end the connection, if we do.
    """

    #: Each byte goes out as it came in.
    isExact = True

    def __init__(self, owner: IEchoOwner, host: str = "") -> None:
        self.owner = owner
        self.counters = owner.counters
        self.host = host
        self.received = 0
        self.watched = False
        self.ending = False
        self.why = ""

    def connectionMade(self) -> None:
        """
        Begin to be watched.
        """
        super().connectionMade()
        self.owner.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Give back what came in.
        """
        self.transport.write(data)
        self.passed(len(data))

    def passed(self, size: int) -> None:
        """
        Note that so many bytes came in and were written.
        """
        self.received += size
        self.counters.receivedBytes += size
        self.counters.sentBytes += size
        if not self.watched:
            self.owner.wrote(self)

    def finish(self) -> None:
        """
        Read no more, give back what is left, then end.
        """
        self.ending = True
        super().finish()

    @property
    def sent(self) -> int:
        """
        How many bytes have gone out, or wait to.
        """
        return self.received

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone, for whatever reason.
        """
        self.owner.closed(self, reason)
