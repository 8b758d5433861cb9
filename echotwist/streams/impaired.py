"""
Streams that are impaired on purpose.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from echotwist.impair.grammar import Impairments
from echotwist.impair.streampath import StreamPath
from echotwist.streams.connection import FIRST_CLOSE_CHECK
from echotwist.streams.counted import CountedEcho
from echotwist.streams.factory import EchoFactory
from echotwist.streams.progress import unsent

#: Bytes of one connection that may be held back before it is no longer read; a slow peer
#: may have as many waiting.
HELD = 65536

#: The word for a connection that ends, by the way it ends.
_SAID = {"reset": "reset", "stall": "stalled", "close": "closed"}


@implementer(IHalfCloseableProtocol)
class ImpairedStream(ProtocolWrapper):
    """
    The wrapper between an echo and its connection that applies the impairments.

    :param factory: the factory that counts and watches it.
    :param echo: the echo.
    :param path: decides when bytes leave, and how the stream ends.
    :param ignoresEnd: ignore the half-close of the peer.
    """

    transport: Any
    factory: ImpairedFactory

    def __init__(
        self, factory: ImpairedFactory, echo: CountedEcho, path: StreamPath, ignoresEnd: bool
    ) -> None:
        super().__init__(factory, echo)  # type: ignore[arg-type]
        self._echo = echo
        self._path = path
        self._ignoresEnd = ignoresEnd
        self._sent = 0
        self._isReading = True
        self._isFull = self._isOver = self._inputEnded = False
        self._isClosing = self._isClosed = False
        self._next: Any = None
        self._last: Any = None

    def makeConnection(self, transport: Any) -> None:
        """
        Connect the echo to this wrapper as its transport.
        """
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self._echo.makeConnection(self)

    @property
    def held(self) -> int:
        """
        How many bytes are held back.
        """
        return self._path.held

    @property
    def sent(self) -> int:
        """
        How many bytes have gone out, or wait to go out, without those held back.
        """
        return int(getattr(self.transport, "sent", self._sent))

    def dataReceived(self, data: bytes) -> None:
        """
        Let the echo send back as many bytes as the path admits.
        """
        if self._isOver:
            return
        admitted = self._path.admit(len(data))
        if admitted:
            self._echo.dataReceived(data[:admitted])
        self._isOver = self._path.isOver
        self._goOn()

    def write(self, data: bytes) -> None:
        """
        Write later, and in pieces.
        """
        self._path.put(self.factory.seconds(), data)
        if self._next is None:
            self._send()

    def _send(self) -> None:
        """
        Write the next piece, if it is due; one in each turn of the reactor, so that the kernel
        gets each piece alone.
        """
        now = self.factory.seconds()
        self._next = None
        piece = self._path.take(now)
        if piece:
            self._sent += len(piece)
            self.transport.write(piece)
            if not self._echo.watched:
                self.factory.wrote(self._echo)
        if self._path.next is not None:
            pause = max(0.0, self._path.next - now)
            self._next = self.factory.callLater(pause, self._send)
        self._goOn()

    def _goOn(self) -> None:
        """
        Read on or wait; end the stream if all bytes have left.
        """
        isDone = self._isOver or self._isClosing or self._inputEnded
        mayRead = not (isDone or self._isFull or self._path.held >= HELD)
        if mayRead != self._isReading:
            self._isReading = mayRead
            (self.transport.resumeProducing if mayRead else self.transport.pauseProducing)()
        if self._path.held:
            return
        if self._isClosing and not self._isClosed:
            self._isClosed = True
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        elif self._isOver and self._last is None and not self._echo.why:
            self._end()

    def _end(self) -> None:
        self._note(_SAID[self._path.ending])
        if self._path.ending == "close":
            self._echo.finish()
        elif self._path.ending == "reset":
            self._reset()
        else:
            self._keep()

    def _note(self, what: str) -> None:
        self.factory.counters.impaired["connections", what] += 1
        self._echo.why = f"{what} on purpose"

    def _reset(self) -> None:
        """
        Reset the connection when its peer has all admitted bytes.
        """
        if unsent(self.transport):
            self._last = self.factory.callLater(FIRST_CLOSE_CHECK, self._reset)
        else:
            self.abortConnection()

    def _keep(self) -> None:
        """
        Keep the connection open, for a limited time: a stalled connection does not see its peer
        leave.
        """
        if self.factory.patience:
            self._last = self.factory.callLater(self.factory.patience, self.abortConnection)

    def readConnectionLost(self) -> None:
        """
        The peer has sent its last byte.
        """
        self._inputEnded = True
        self._goOn()
        if not self._ignoresEnd:
            self._echo.readConnectionLost()
        elif not self._isOver:
            self._note("half-close ignored")
            self._keep()

    def writeConnectionLost(self) -> None:
        """
        Never called: both directions are closed together.
        """

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """
        Register this wrapper in place of the echo as the producer of the connection.
        """
        self.transport.registerProducer(self, True)

    def unregisterProducer(self) -> None:
        """
        Wait until all has left.
        """

    def pauseProducing(self) -> None:
        """
        The connection takes no more: pause.
        """
        self._isFull = True
        self._goOn()

    def resumeProducing(self) -> None:
        """
        The connection takes more again: go on.
        """
        self._isFull = False
        self._goOn()

    def stopProducing(self) -> None:
        """
        The connection will never take more.
        """

    def loseConnection(self) -> None:
        """
        Close when all has left.
        """
        self.disconnecting = self._isClosing = True
        self._goOn()

    def abortConnection(self) -> None:
        """
        Reset the connection.
        """
        self._stop()
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is closed.
        """
        self._stop()
        self._echo.connectionLost(reason)

    def _stop(self) -> None:
        for call in (self._next, self._last):
            if call is not None and call.active():
                call.cancel()


class ImpairedFactory(EchoFactory):
    """
    Make echoes whose streams are impaired on purpose.

    :param impairments: the impairments to apply.
    :param words: the arguments of :class:`EchoFactory`.
    :ivar patience: seconds for which a stalled connection is kept open; 0 for ever.
    """

    def __init__(self, impairments: Impairments, **words: Any) -> None:
        super().__init__(**words)
        self._impairments = impairments
        self._made = 0
        self.patience = words.get("stallTimeout", 0)
        self.seconds = self._reactor.seconds
        self.callLater = self._reactor.callLater

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        Make the echo for one connection, in the wrapper that impairs it.
        """
        echo = super().buildProtocol(addr)
        if echo is None:
            return None
        transport, counts = self.counters.transport, self.counters.impaired
        path = StreamPath(self._impairments, transport, self._made, counts)
        self._made += 1
        return ImpairedStream(self, echo, path, self._impairments.halfclose)
