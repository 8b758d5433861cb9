"""
Pages by HTTP, to the last byte and with the clock turned by hand.
"""

from __future__ import annotations

import socket
from http import HTTPStatus
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echotwist import EchoService, Settings
from echotwist.monitoring.pages import Site
from echotwist.pages.http import LONGEST_HEAD, Reply, Request, RequestError, parse
from echotwist.pages.serving import (
    LONGEST_REST,
    REPLY_TIMEOUT,
    REQUEST_TIMEOUT,
    Page,
    PageProtocol,
)
from echotwist.sockets.options import mostFiles, roomForConnections, roomForScrapers

GET = b"GET /page HTTP/1.1\r\nHost: here\r\n\r\n"


class Wire(StringTransport):
    """
    A transport in memory, which can be closed one way and aborted.
    """

    aborting = endsWriting = False

    def loseWriteConnection(self) -> None:
        """
        Note that nothing more is sent.
        """
        self.endsWriting = True

    def abortConnection(self) -> None:
        """
        Note that it is reset.
        """
        self.aborting = True


class ParseTests(SynchronousTestCase):
    """
    Tests for :func:`parse`.
    """

    def test_requests(self) -> None:
        """
        A request is found as soon as it is whole, with what comes after it.
        """
        self.assertEqual(parse(GET + b"more"), (Request(b"/page", True), b"more"))
        for end in range(len(GET)):
            self.assertIsNone(parse(GET[:end]))
        for head, path in [
            (b"GET / HTTP/1.0\n\n", b"/"),
            (b"GET /a?b=/c HTTP/1.1\r\nX:\r\n\r\n", b"/a"),
            (b"GET HTTP://h:1/a HTTP/1.1\r\nContent-Length: 00 \r\n\r\n", b"/a"),
            (b"GET /a HTTP/1.1\r\ncontent-length:0\n\n", b"/a"),
        ]:
            self.assertEqual(parse(head), (Request(path, True), b""))
        self.assertEqual(parse(b"HEAD / HTTP/1.1\r\n\r\n"), (Request(b"/", False), b""))
        found = parse(b"GET / HTTP/1.1\r\nAccept: a;q=0.5, b\r\naccept:c\r\n\r\n")
        self.assertEqual(found, (Request(b"/", True, b"a;q=0.5, b,c"), b""))
        found = parse(b"GET / HTTP/1.1\r\nAccept: a;q=0.5, b\r\naccept:c\r\n\r\n")
        self.assertEqual(found, (Request(b"/", True, b"a;q=0.5, b,c"), b""))

    def test_bodies(self) -> None:
        """
        A body is refused, however it is announced.
        """
        for field in [
            b"Content-Length: 1",
            b"content-length:10",
            b"CONTENT-LENGTH: " + b"9" * 5000,
            b"Content-Length: -1",
            b"Content-Length: x",
            b"Content-Length: 0, 5",
            b"Content-Length: 0\r\nContent-Length: 5",
            b"Transfer-Encoding: chunked",
            b"transfer-encoding:",
        ]:
            head = b"GET / HTTP/1.1\r\nX: y\r\n%b\r\n\r\n" % field
            error = self.assertRaises(RequestError, parse, head)
            self.assertEqual(error.status, 413, field)

    def test_lengths(self) -> None:
        """
        No head is longer than it may be, whether it comes in pieces or at once.
        """
        fields = b"GET / HTTP/1.1\r\nX: "
        for size in (LONGEST_HEAD - len(fields) - 5, LONGEST_HEAD):
            head = fields + b"y" * size
            whole = head + b"\r\n\r\n"
            if len(whole) < LONGEST_HEAD:
                self.assertIsNone(parse(head))
                self.assertIsNotNone(parse(whole))
            else:
                for text in (head, whole):
                    self.assertEqual(self.assertRaises(RequestError, parse, text).status, 431)
        long = b"G" * LONGEST_HEAD
        self.assertIsNone(parse(long[1:]))
        self.assertEqual(self.assertRaises(RequestError, parse, long).status, 414)


class SiteTests(SynchronousTestCase):
    """
    Tests for :class:`Site` and its connections.
    """

    def setUp(self) -> None:
        """
        Make a site of two pages.
        """
        self.clock = Clock()
        reactor: Any = self.clock
        self.late: list[Deferred[Reply]] = []
        pages: dict[bytes, Page] = {b"/page": lambda _: Reply(b"hello")}
        pages |= {b"/late": self.wait, b"/bad": self.bad}
        self.site = Site(pages, reactor, most=3)

    def wait(self, _: Request) -> Deferred[Reply]:
        """
        Make a page that takes its time.
        """
        self.late.append(Deferred())
        return self.late[-1]

    def bad(self, _: Request) -> Reply:
        """
        Raise an exception, as a mistake of ours would.
        """
        raise ZeroDivisionError

    def connected(self, *pieces: bytes) -> tuple[PageProtocol, Wire]:
        """
        Connect, and send so much.
        """
        protocol = self.site.buildProtocol(None)
        transport = Wire()
        protocol.makeConnection(transport)
        for piece in pieces:
            protocol.dataReceived(piece)
        return protocol, transport

    def status(self, transport: Wire) -> int:
        """
        Return the status of a reply.
        """
        return int(transport.value().split(b" ")[1])

    def end(self, protocol: PageProtocol) -> None:
        """
        Have the connection be gone.
        """
        protocol.connectionLost(Failure(connectionDone))

    def test_page(self) -> None:
        """
        A page comes whole, and ends the connection; for HEAD without its body.
        """
        for method, body in [(b"GET", b"hello"), (b"HEAD", b"")]:
            _, transport = self.connected(method + b" /pa", b"ge HTTP/1.1\r\n", b"\r\n")
            head, _, got = transport.value().partition(b"\r\n\r\n")
            self.assertEqual(got, body)
            first, date, *fields = head.split(b"\r\n")
            self.assertEqual(first, b"HTTP/1.1 200 OK")
            self.assertRegex(date, rb"^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")
            self.assertEqual(
                fields,
                [
                    b"Content-Type: text/plain; charset=utf-8",
                    b"Content-Length: 5",
                    b"Connection: close",
                ],
            )
            self.assertTrue(transport.disconnecting)

    def test_methods(self) -> None:
        """
        For other methods the reply names the allowed ones.
        """
        _, transport = self.connected(b"DELETE /page HTTP/1.1\r\n\r\n")
        self.assertEqual(self.status(transport), 405)
        self.assertIn(b"\r\nAllow: GET, HEAD\r\n", transport.value())

    def test_broken(self) -> None:
        """
        A mistake of ours gives a status too, and is logged.
        """
        _, transport = self.connected(b"GET /bad HTTP/1.1\r\n\r\n")
        self.assertEqual(self.status(transport), 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_late(self) -> None:
        """
        A page that takes its time is sent when it is ready, if its peer is still there.
        """
        protocol, transport = self.connected(b"GET /late HTTP/1.1\r\n\r\n")
        protocol.readConnectionLost()
        gone, nowhere = self.connected(b"GET /late HTTP/1.1\r\n\r\n")
        self.end(gone)
        self.assertEqual((transport.value(), transport.disconnecting), (b"", False))
        for page in self.late:
            page.callback(Reply(b"at last"))
        self.assertIn(b"at last", transport.value())
        self.assertTrue(transport.disconnecting)
        self.assertEqual(nowhere.value(), b"")

    def test_rest(self) -> None:
        """
        A peer that sends more sees the reply and its end first; what comes is
        thrown away, and too much of it ends the connection.
        """
        for request in (GET + GET, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"\0\n"):
            protocol, transport = self.connected(request)
            said = transport.value()
            self.assertEqual(said.count(b"HTTP/1.1"), 1)
            self.assertEqual((transport.endsWriting, transport.disconnecting), (True, False))
            protocol.dataReceived(bytes(LONGEST_REST))
            self.assertFalse(transport.disconnecting)
            protocol.readConnectionLost()
            self.assertTrue(transport.disconnecting)
            self.assertEqual(transport.value(), said)
            protocol.dataReceived(b"x")
            self.assertTrue(transport.aborting)

    def test_head(self) -> None:
        """
        No reply to HEAD has a body, whatever is wrong.
        """
        for rest in (b"/bad", b"/nope", b"/\xff", b"/\0"):
            _, transport = self.connected(b"HEAD %b HTTP/1.1\r\n\r\n" % rest)
            self.assertTrue(transport.value().endswith(b"\r\n\r\n"))
            self.assertEqual(transport.value().count(b"HTTP/1.1 "), 1)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_ends(self) -> None:
        """
        A peer that ends before it has asked is told so, unless it said nothing.
        """
        protocol, transport = self.connected(b"GET /pa")
        protocol.readConnectionLost()
        self.assertEqual(self.status(transport), 400)
        protocol, transport = self.connected()
        protocol.readConnectionLost()
        self.assertEqual(transport.value(), b"")
        self.assertTrue(transport.disconnecting)

    def test_timeouts(self) -> None:
        """
        Every wait has an end, which no byte puts off; then no call is left.
        """
        _, idle = self.connected()
        trickling, slow = self.connected(b"G")
        asked, deaf = self.connected(GET)
        self.clock.advance(REQUEST_TIMEOUT - 1)
        trickling.dataReceived(b"E")
        self.assertFalse(idle.aborting or slow.aborting)
        self.clock.advance(1)
        self.assertTrue(idle.aborting and slow.aborting)
        self.assertFalse(deaf.aborting)
        self.clock.advance(REPLY_TIMEOUT - REQUEST_TIMEOUT)
        self.assertTrue(deaf.aborting)
        self.end(asked)
        self.end(self.connected()[0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_most(self) -> None:
        """
        If there are too many connections, the one that has waited longest gives way.
        """
        _, oldest = self.connected()
        asking, _ = self.connected(b"GET")
        late, waiting = self.connected(b"GET /late HTTP/1.1\r\n\r\n")
        self.connected()
        self.assertTrue(oldest.aborting)
        self.end(asking)
        for _ in range(2):
            self.connected()
        self.assertTrue(waiting.aborting)
        self.end(late)

    @given(st.lists(st.binary(max_size=60), max_size=5), st.booleans())
    def test_noise(self, pieces: list[bytes], ends: bool) -> None:
        """
        Whatever comes is one reply or none; it raises nothing, and nothing stays.
        """
        self.converse(pieces, ends)

    @given(
        st.lists(
            st.sampled_from(
                [
                    *[
                        b"GET",
                        b"HEAD",
                        b"POST",
                        b" ",
                        b"/page",
                        b"http://h",
                        b"\xff",
                        b"%ff",
                        b"\0",
                    ],
                    *[b"HTTP/1.1", b"HTTP/9.9", b"\r\n", b"\n", b"Content-Length: ", b"0", b"7"],
                    *[
                        b"Transfer-Encoding: chunked",
                        b"Expect: 100-continue",
                        b":",
                        b"\t",
                        b"x" * 9000,
                    ],
                ]
            ),
            max_size=20,
        ),
        st.booleans(),
    )
    def test_grammar(self, pieces: list[bytes], ends: bool) -> None:
        """
        So it is with what is nearly a request.
        """
        self.converse(pieces, ends)

    def converse(self, pieces: list[bytes], ends: bool) -> None:
        """
        Send these, and see that at most one reply comes.
        """
        protocol, transport = self.connected(*pieces)
        if ends:
            protocol.readConnectionLost()
        said = transport.value()
        self.assertLess(len(said), 1000)
        if said:
            self.assertIn(int(said[9:12]), list(HTTPStatus))
            self.assertEqual(said.count(b"HTTP/1.1 "), 1)
        self.assertLessEqual(len(protocol._head), LONGEST_HEAD)
        self.end(protocol)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])


class PortTests(SynchronousTestCase):
    """
    Tests for the metrics ports.
    """

    def test_places(self) -> None:
        """
        They are where ``--interface`` says, like those of other endpoints, but what is
        chosen for the echo's connections is not for theirs.
        """
        for interfaces, places in [
            (["127.0.0.2", "::1"], ["TCP 127.0.0.2:", "TCP [::1]:"]),
            ([], ["TCP [::]:"]),
        ]:
            settings = Settings(
                port=0, metrics="tcp:0", interfaces=interfaces, linger=0, reuse=True, portable=True
            )
            service = EchoService(settings, MemoryReactorClock())
            service.open()
            self.addCleanup(service.stopService)
            self.assertEqual(
                [one.text.rpartition(":")[0] + ":" for one in service._monitoring.listeners], places
            )
            for one in service._monitoring.listeners:
                assert one.socket is not None
                for option in (socket.SO_LINGER, socket.SO_REUSEPORT):
                    self.assertEqual(one.socket.getsockopt(socket.SOL_SOCKET, option), 0)


class RoomTests(SynchronousTestCase):
    """
    Tests for the share of open files.
    """

    def test_room(self) -> None:
        """
        Where there are few open files, the metrics get an eighth, and the echo as many
        less.
        """
        limit = mostFiles()
        assert limit is not None
        self.assertEqual(mostFiles(40), 40)
        self.assertEqual([roomForScrapers(most) for most in (64, 96, 1024)], [8, 12, 32])
        room, less = roomForConnections(), roomForConnections(reserved=7)
        assert room is not None
        self.assertEqual(less, room - 7)
