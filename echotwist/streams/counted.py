"""
The echo of streams in the service: counted, limited and watched.
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
    An owner that counts, limits and watches echoes.
    """

    counters: Counters = Attribute("What happened.")

    def opened(echo: CountedEcho) -> None:
        """
        Note that a connection began.
        """

    def wrote(echo: CountedEcho) -> None:
        """
        Note that bytes may wait for the peer of a connection.
        """

    def closed(echo: CountedEcho, reason: Failure) -> None:
        """
        Note that a connection ended.
        """


class CountedEcho(Echo):
    """
    An echo that is counted, limited and watched.

    :param owner: the owner that counts, limits and watches it.
    :param host: the peer's address; empty if it has none.
    :ivar received: how many bytes have come in.
    :ivar watched: the owner knows that bytes may wait for the peer.
    :ivar ending: the echo reads no more.
    :ivar why: the reason why the service ends the connection, if it does.
    """

    #: Whether each byte goes out as it came in.
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
        Tell the owner that the connection began.
        """
        super().connectionMade()
        self.owner.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Send back the bytes that came in.
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
        Read no more, send back the rest, then close.
        """
        self.ending = True
        super().finish()

    @property
    def sent(self) -> int:
        """
        How many bytes have gone out, or wait to go out.
        """
        return self.received

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is closed, for whatever reason.
        """
        self.owner.closed(self, reason)
