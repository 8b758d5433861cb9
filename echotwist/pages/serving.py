"""
Serve HTTP pages for programs such as Prometheus and health checks.

Each connection gets one reply; bytes after the head of its request are thrown away,
and every wait has a limit.
``twisted.web`` stores bodies on the disk, starts its timeout anew with each byte,
stops it for the reply, and logs each connection that it ends; only private parts of
it could change that.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from echotwist.pages.http import Reply, Request, RequestError, parse
from echotwist.reactors import IReactor
from echotwist.sockets.options import roomForScrapers

#: Bytes after a request that are read and thrown away.
LONGEST_REST = 65_536

#: Seconds within which a request must come.
REQUEST_TIMEOUT = 5.0

#: Seconds within which the reply must then be made and read: Prometheus waits as long.
REPLY_TIMEOUT = 10.0

#: A function that makes the reply to a request.
Page = Callable[[Request], Reply | Deferred[Reply]]


@implementer(IHalfCloseableProtocol)
class PageProtocol(Protocol):
    """
    One request and its reply.

    :param site: the pages.
    """

    transport: Any

    def __init__(self, site: Pages) -> None:
        self._site = site
        self._head = b""
        self._isAsked = False
        self._isLost = False
        self._thrownAway = 0

    def connectionMade(self) -> None:
        """
        Wait for the request, for a limited time.
        """
        self._site.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Answer the first request, and throw away the bytes after it.
        """
        if self._isAsked:
            self._throwAway(data)
            return
        self._head = (self._head + data).lstrip(b"\r\n")  # RFC 9112, section 2.2
        try:
            found = parse(self._head)
        except RequestError as error:
            self._refuse(error.status)
            return
        if found is not None:
            self._asked(*found)

    def _refuse(self, status: HTTPStatus) -> None:
        self._isAsked = True
        self._site.asked(self)
        self._send(Reply.of(status), not self._head.startswith(b"HEAD "), True)

    @inlineCallbacks
    def _asked(self, request: Request, rest: bytes) -> Generator[Deferred[Reply], Reply, None]:
        self._isAsked = True
        self._site.asked(self)
        reply = yield self._site.answer(request)
        self._send(reply, request.withBody, bool(rest))

    def _send(self, reply: Reply, withBody: bool, isMoreToCome: bool) -> None:
        self._head = b""
        if self._isLost:
            return
        self.transport.write(reply.toBytes(withBody))
        if isMoreToCome and not isinstance(self.transport, ProtocolWrapper):
            # A close with unread bytes resets the connection, and a peer that still
            # sends may never see the reply (RFC 9112, section 9.6).
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def _throwAway(self, data: bytes) -> None:
        self._thrownAway += len(data)
        if self._thrownAway > LONGEST_REST:
            self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        """
        The peer has sent its last byte: refuse a request that is not whole; close if there is none.
        """
        if self._head and not self._isAsked:
            self._refuse(HTTPStatus.BAD_REQUEST)
        elif not self._head:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        The reply is on its way.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is closed.
        """
        self._isLost = True
        self._site.closed(self)


class Pages(Factory):
    """
    Serve pages on a few connections at a time; the oldest gives way to a new one.

    :param pages: the pages by their paths.
    :param reactor: the clock of timeouts (``IReactorTime``).
    :param broke: called while an error of ours in a page is being handled.
    :param most: connections at a time.
    """

    noisy = False

    def __init__(
        self,
        pages: Mapping[bytes, Page],
        reactor: IReactor,
        broke: Callable[[], None],
        most: int | None = None,
    ) -> None:
        self._pages = pages
        self._reactor = reactor
        self._broke = broke
        self._most = most or roomForScrapers()
        self._open: dict[Any, IDelayedCall] = {}

    def buildProtocol(self, addr: object) -> PageProtocol:
        """
        Make the protocol of one connection.
        """
        return PageProtocol(self)

    def opened(self, protocol: Any) -> None:
        """
        Start the time limit for the request of a new connection.

        :param protocol: the protocol of the connection.
        """
        if len(self._open) >= self._most:
            self._end(next(iter(self._open)))
        self._open[protocol] = self._reactor.callLater(REQUEST_TIMEOUT, self._end, protocol)

    def asked(self, protocol: Any) -> None:
        """
        Start the time limit for the reply of a connection.
        """
        self.closed(protocol)
        self._open[protocol] = self._reactor.callLater(REPLY_TIMEOUT, self._end, protocol)

    def closed(self, protocol: Any) -> None:
        """
        Forget a connection that is closed.
        """
        deadline = self._open.pop(protocol, None)
        if deadline is not None and deadline.active():
            deadline.cancel()

    def _end(self, protocol: Any) -> None:
        self.closed(protocol)
        protocol.transport.abortConnection()

    @inlineCallbacks
    def answer(self, request: Request) -> Generator[Deferred[Reply], Reply, Reply]:
        """
        Make the reply to a request for a page.

        :return: fires with the :class:`Reply`.
        """
        page: Callable[[Request], Any] = self._pages.get(request.path, _notFound)
        try:
            return (yield maybeDeferred(page, request))
        except Exception:
            self._broke()
            return Reply.of(HTTPStatus.INTERNAL_SERVER_ERROR)


def _notFound(request: Request) -> Reply:
    return Reply.of(HTTPStatus.NOT_FOUND)
