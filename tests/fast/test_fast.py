"""
What only Linux can do, without a reactor that runs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import sys
from types import SimpleNamespace
from typing import Any
from unittest import skipIf, skipUnless

from hypothesis import HealthCheck, given, settings, strategies
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.python import log
from twisted.python.failure import Failure
from twisted.python.log import ILogContext
from twisted.trial.unittest import SynchronousTestCase

from echotwist import DatagramEcho, EchoFactory
from echotwist.datagrams.guard import Guard
from echotwist.datagrams.port import DatagramPort
from echotwist.sockets import packetinfo
from echotwist.sockets.addresses import Address
from echotwist.sockets.opening import openDatagram
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.log import RateLimitedLog
from tests.support.plain import InPython

#: To send or to read, and how many bytes.
STEPS = strategies.lists(strategies.tuples(strategies.booleans(), strategies.integers(1, 400_000)))

LINUX = sys.platform == "linux"
if LINUX:
    from echotwist.fast import batch, compiled, messages, splice
    from echotwist.fast.connection import PROVEN, FastConnection
    from echotwist.fast.contexts import EventContext
    from echotwist.fast.port import BatchPort
    from echotwist.fast.reactor import LeanReactor


class Worker:
    """
    Somebody whom a reactor serves.

    :param stream: what is read from.
    :ivar prefixes: how often the log prefix was asked for.
    """

    prefixes = 0
    lost: Any = None

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.fileno = stream.fileno

    def logPrefix(self) -> str:
        """
        Tell who works.
        """
        self.prefixes += 1
        return "worker"

    def doRead(self) -> None:
        """
        Read, and log or fail if told so.
        """
        word = self.stream.recv(100)
        if word == b"log":
            log.msg("hello")
        if word == b"fail":
            raise ValueError("failed")

    def connectionLost(self, reason: Failure) -> None:
        """
        Keep the reason.
        """
        self.lost = reason


@skipUnless(LINUX, "needs Linux")
class LeanReactorTests(SynchronousTestCase):
    """
    Tests for :class:`LeanReactor`; Twisted's own are in ``tests.reactors``.
    """

    def setUp(self) -> None:
        """
        Watch somebody.
        """
        self.reactor = LeanReactor()
        self.addCleanup(self.reactor._poller.close)
        for waker in self.reactor._internalReaders:
            self.addCleanup(waker.connectionLost, None)
        stream, self.peer = socket.socketpair()
        self.addCleanup(stream.close)
        self.addCleanup(self.peer.close)
        self.worker = Worker(stream)
        self.reactor.addReader(self.worker)

    def test_prefix(self) -> None:
        """
        The log prefix is that of who works, and is asked for when somebody logs.
        """
        self.peer.send(b"quiet")
        self.reactor.doIteration(0)
        self.assertEqual(self.worker.prefixes, 0)
        with capturedLogs() as events:
            self.peer.send(b"log")
            self.reactor.doIteration(0)
            log.msg("afterwards")
        self.assertEqual([event["system"] for event in events], ["worker", "-"])

    def test_failure(self) -> None:
        """
        Who fails is logged and let go of, and the reactor goes on.
        """
        self.peer.send(b"fail")
        with capturedLogs() as events:
            self.reactor.doIteration(0)
        self.assertEqual([event["system"] for event in events if event["isError"]], ["worker"])
        self.assertIsInstance(self.worker.lost.value, ValueError)
        self.assertNotIn(self.worker, self.reactor.getReaders())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def usual(self, function: Any) -> None:
        """
        Leave the worker's usual event to a function.
        """
        self.reactor.addUsual(self.worker, function)

    def heard(self) -> bytes:
        """
        Send a byte, and give what the worker itself read of it.
        """
        got: list[bytes] = []
        self.worker.doRead = lambda: got.append(self.worker.stream.recv(100))  # type: ignore[method-assign]
        self.peer.send(b"x")
        self.reactor.doIteration(0)
        return b"".join(got)

    def test_usual(self) -> None:
        """
        A function does all that the usual event asks for.
        """
        self.usual(lambda fd: got.append(os.read(fd, 100)))
        got: list[bytes] = []
        self.assertEqual(self.heard(), b"")
        self.assertEqual(got, [b"x"])
        self.reactor.removeUsual(self.worker)
        self.assertEqual(self.heard(), b"x")

    def test_rest(self) -> None:
        """
        What the function leaves is the reader's to do, who may say that this was all.
        """
        left: list[Any] = []

        def doUnusual(*rest: Any) -> Any:
            left.extend(rest)
            log.msg("hello")
            return CONNECTION_LOST

        self.worker.doUnusual = doUnusual  # type: ignore[attr-defined]
        self.usual(lambda fd: (os.read(fd, 100), 7))
        with capturedLogs() as events:
            self.heard()
        self.assertEqual(left, [b"x", 7])
        self.assertEqual([event["system"] for event in events], ["worker"])
        self.assertIsInstance(self.worker.lost.value, ConnectionLost)
        self.assertNotIn(self.worker, self.reactor.getReaders())

    def test_brokenFunction(self) -> None:
        """
        A function that fails is as if the reader did.
        """

        def fail(fd: int) -> None:
            raise ValueError("failed")

        self.usual(fail)
        with capturedLogs() as events:
            self.heard()
        self.assertEqual([event["system"] for event in events if event["isError"]], ["worker"])
        self.assertIsInstance(self.worker.lost.value, ValueError)
        self.assertNotIn(self.worker, self.reactor.getReaders())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_notUsual(self) -> None:
        """
        Nothing is left to a function but the events of who reads, and only reads.
        """
        reactor = self.reactor
        for changes in (
            [reactor.addReader],
            [reactor.addWriter, reactor.removeWriter],
            [reactor.removeReader, reactor.addReader],
            [lambda _: reactor.removeAll(), reactor.addReader],
        ):
            self.usual(self.fail)
            for change in changes:
                change(self.worker)
            self.assertEqual(self.heard(), b"x")
        self.reactor.addWriter(self.worker)
        self.usual(self.fail)
        self.reactor.removeWriter(self.worker)
        self.assertEqual(self.heard(), b"x")
        other = Worker(self.worker.stream)
        self.reactor.addUsual(other, self.fail)
        self.assertEqual(self.heard(), b"x")
        self.reactor.removeReader(self.worker)
        self.usual(self.fail)
        self.reactor.addReader(self.worker)
        self.assertEqual(self.heard(), b"x")

    def test_closedFirst(self) -> None:
        """
        A reader that is closed before the reactor hears of it leaves no function to
        whoever gets its descriptor.
        """
        self.usual(self.fail)
        self.worker.stream.close()
        with contextlib.suppress(OSError):  # epoll(7) has forgotten it already.
            self.reactor.removeReader(self.worker)
        self.assertEqual(self.reactor._usual, {})

    def test_reused(self) -> None:
        """
        A descriptor that is closed and opened again while its event waits to be handled
        is no longer the function's: of two readers with events, whoever comes first has
        the other end, and another begin in its place.
        """
        ends = [socket.socketpair() for _ in range(2)]
        workers = [Worker(near) for near, _ in ends]
        called: list[int] = []
        heirs: list[Worker] = []

        def replace(fd: int) -> None:
            called.append(fd)
            os.read(fd, 100)
            [other] = [one for one in workers if one.fileno() != fd]
            number = other.fileno()
            self.reactor.removeReader(other)
            other.stream.close()
            near, far = socket.socketpair()
            self.addCleanup(near.close)
            self.addCleanup(far.close)
            self.assertEqual(near.fileno(), number)
            near.setblocking(False)
            heirs.append(Worker(near))
            heirs[0].doRead = lambda: called.append(-1)  # type: ignore[method-assign]
            self.reactor.addReader(heirs[0])

        for worker in workers:
            self.reactor.addReader(worker)
            self.reactor.addUsual(worker, replace)
        for near, far in ends:
            self.addCleanup(near.close)
            self.addCleanup(far.close)
            far.send(b"x")
        self.reactor.doIteration(0)
        self.assertEqual(len([fd for fd in called if fd >= 0]), 1)

    def test_cancelled(self) -> None:
        """
        A timed call that is cancelled does not wake the process when it would have been due.
        """
        soon, late = (self.reactor.callLater(seconds, self.fail) for seconds in (1800, 3600))
        soon.cancel()
        self.assertGreater(self.reactor.timeout() or 0, 1800)
        late.cancel()
        self.assertIsNone(self.reactor.timeout())

    def test_cancelledMeanwhile(self) -> None:
        """
        Nor if an event cancels it, while others wait.
        """
        call = self.reactor.callLater(3600, self.fail)
        turns: list[float | None] = []

        def turn(timeout: float | None, *rest: object) -> None:
            turns.append(timeout)
            call.cancel()

        self.reactor.timeout()
        self.reactor.running = True
        self.reactor._turn = self.reactor._turnCompiled = turn  # type: ignore[method-assign,assignment]
        self.reactor._serve(10, self.fail, False)
        self.assertEqual(turns, [10])
        self.assertIsNone(self.reactor.timeout())

    def test_context(self) -> None:
        """
        The context says what was there before, and who works.
        """
        frame = EventContext({"isError": 0, "system": "-"})
        frame.owner = self.worker
        self.assertEqual(frame[ILogContext], {"isError": 0, "system": "worker"})
        self.assertRaises(KeyError, frame.__getitem__, "isError")
        buggy = EventContext({})
        self.assertEqual(buggy[ILogContext], {"system": "(buggy logPrefix method)"})


@skipUnless(LINUX, "needs Linux")
class FastConnectionTests(SynchronousTestCase):
    """
    Tests for :class:`FastConnection`.
    """

    def setUp(self) -> None:
        """
        Connect.
        """
        self.reactor = MemoryReactorClock()
        self.factory = EchoFactory(reactor=self.reactor)
        self.transport, self.peer = self.connected(self.factory)

    def connected(self, factory: EchoFactory) -> tuple[Any, socket.socket]:
        """
        Connect somebody.
        """
        near, peer = socket.socketpair()
        self.addCleanup(peer.close)
        peer.setblocking(False)
        echo = factory.buildProtocol(None)
        assert echo is not None
        server = SimpleNamespace(limitedLog=factory.limitedLog, reactor=self.reactor)
        transport = FastConnection(near, echo, ("192.0.2.1", 4567), server, 0, self.reactor)
        echo.makeConnection(transport)
        self.addCleanup(transport.connectionLost, Failure(ConnectionDone()))
        return transport, peer

    def serve(self, transport: Any) -> None:
        """
        Do what a reactor would do once.
        """
        if transport in self.reactor.getWriters():
            transport.doWrite()
        elif transport in self.reactor.getReaders():
            transport.doRead()

    def read(self, peer: socket.socket, most: int = 2**20) -> bytes:
        """
        Read what has come.
        """
        try:
            return peer.recv(most)
        except BlockingIOError:
            return b""

    def send(self, peer: socket.socket, data: bytes) -> bytes:
        """
        Send what there is room for.
        """
        try:
            return data[: peer.send(data)]
        except BlockingIOError:
            return b""

    def test_atOnce(self) -> None:
        """
        What is written leaves before the reactor has its turn.
        """
        self.transport.write(b"hello")
        self.assertEqual(self.read(self.peer), b"hello")
        self.assertEqual(self.reactor.getWriters(), [])

    def test_rest(self) -> None:
        """
        What the kernel does not take waits, nothing overtakes it, and reading
        waits as well.
        """
        data = os.urandom(2**20)
        self.transport.write(data)
        self.transport.write(b"last")
        self.assertNotIn(self.transport, self.reactor.getReaders())
        got = b""
        while self.transport in self.reactor.getWriters():
            got += self.read(self.peer)
            self.transport.doWrite()
        self.assertTrue(got + self.read(self.peer) == data + b"last")
        self.assertIn(self.transport, self.reactor.getReaders())
        self.test_atOnce()

    def test_afterLoss(self) -> None:
        """
        What is written to a connection that is gone reaches nobody, though its
        descriptor may be somebody else's by now.
        """
        fd = self.transport.fileno()
        self.transport.connectionLost(Failure(ConnectionDone()))
        one, other = socket.socketpair()
        with one, other:
            self.assertIn(fd, (one.fileno(), other.fileno()))
            one.setblocking(False)
            other.setblocking(False)
            self.transport.write(b"stray")
            self.assertEqual(self.read(one) + self.read(other), b"")

    def test_failure(self) -> None:
        """
        A write that fails is noted, and the connection lost when the reactor
        has its turn, not within the call.
        """
        self.peer.close()
        self.transport.write(b"hello")
        self.assertEqual(self.transport.lastError, errno.EPIPE)
        self.assertTrue(self.transport.connected)
        self.assertIsInstance(self.transport.doWrite(), Exception)

    def test_resetAlone(self) -> None:
        """
        A reset that a reactor takes for the end of what the peer sends is still a reset.
        """
        self.transport.write(b"unread")
        self.peer.close()
        self.transport.readConnectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.transport.lastError, errno.ECONNRESET)
        self.assertFalse(self.transport.connected)

    def test_cut(self) -> None:
        """
        A UNIX peer whose connection is reset gets all that was read of it, and then
        the end only if that was all.
        """
        for isAll in (True, False):
            transport, peer = self.connected(self.factory)
            sent = b""
            while transport in self.reactor.getReaders():
                sent += self.send(peer, os.urandom(50_000))
                transport.doRead()
            self.assertTrue(transport._tempDataLen)
            if not isAll:
                self.send(peer, b"unread")
            transport.connectionLost(Failure(ConnectionAborted()))
            got = b""
            while len(got) < len(sent):
                got += self.read(peer) or b" "
            self.assertTrue(got == sent)
            if isAll:
                self.assertEqual(peer.recv(1), b"")
            else:
                self.assertRaises(ConnectionResetError, peer.recv, 1)

    def test_unread(self) -> None:
        """
        Where something is left unread in the end, no end is said that would look as if
        all had come.
        """
        self.transport.write(b"hello")
        self.send(self.peer, b"unread")
        self.transport.protocol.finish()
        self.serve(self.transport)
        self.assertEqual(self.read(self.peer), b"hello")
        self.assertRaises(BlockingIOError, self.peer.recv, 1)
        self.reactor.advance(1)
        self.assertRaises(ConnectionResetError, self.peer.recv, 1)

    # It is run by a class that is derived from this one, too.
    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def test_anyPace(self, steps: list[tuple[bool, int]]) -> None:
        """
        However a peer sends and reads, it gets its bytes in order, in bulk or not.
        """
        transport, peer = self.connected(self.factory)
        transport.protocol.received = PROVEN
        sent = got = b""
        for sends, size in steps:
            if sends:
                sent += self.send(peer, os.urandom(size))
                transport._echo = splice.relay()
            else:
                got += self.read(peer, size)
            self.serve(transport)
        for _ in range(len(sent) // 1000 + 10):
            self.serve(transport)
            got += self.read(peer)
        transport.settle()
        self.assertTrue(got == sent)
        self.assertEqual(transport.protocol.received, PROVEN + len(sent))

    def bulk(self, transport: Any, peer: socket.socket) -> bytes:
        """
        Send so much that it is bulk, and then more.

        :return: what has not been read then.
        """
        transport.protocol.received = PROVEN
        for _ in range(messages.BULK // messages.MOST + 2):
            self.assertEqual(len(self.send(peer, bytes(messages.MOST))), messages.MOST)
            transport.doRead()
            self.assertGreaterEqual(len(self.read(peer)), messages.MOST)
        sent = self.send(peer, os.urandom(2**20))
        self.assertGreater(len(sent), 2 * messages.MOST)
        return sent

    def test_bulk(self) -> None:
        """
        Bulk goes through a pipe, more in one turn than would be copied, and so does what
        follows in small pieces.
        """
        sent = self.bulk(self.transport, self.peer)
        self.assertIsNot(self.transport._echo, messages.echo)
        self.transport.settle()
        self.transport._echo, before = splice.relay(), self.transport.protocol.received
        self.serve(self.transport)
        got = self.read(self.peer)
        self.assertGreater(len(got), 2 * messages.MOST)
        for _ in range(100):
            self.serve(self.transport)
            got += self.read(self.peer)
        self.assertTrue(got == sent)
        self.send(self.peer, b"little")
        self.serve(self.transport)
        self.assertEqual(self.read(self.peer), b"little")
        self.transport.settle()
        self.assertEqual(self.transport.protocol.received, before + len(sent) + 6)

    def test_resetBulk(self) -> None:
        """
        A reset of a peer that sends bulk is not taken for its end.
        """
        self.transport._echo = splice.relay()
        self.transport.write(b"unread")
        self.peer.close()
        self.assertIs(self.transport.doRead(), CONNECTION_LOST)
        self.assertEqual(self.transport.lastError, errno.ECONNRESET)

    def test_refusedBulk(self) -> None:
        """
        Where splice(2) is not allowed, or there is no pipe, bulk is echoed all the same.
        """
        refused = splice.Pipe()
        self.addCleanup(os.close, refused.inlet)
        self.addCleanup(os.close, refused.outlet)
        refused.inlet, refused.outlet = refused.outlet, refused.inlet
        for through in (refused, None):
            self.patch(splice, "pipe", lambda through=through: through)
            transport, peer = self.connected(self.factory)
            sent, got = self.bulk(transport, peer), b""
            for _ in range(100):
                self.serve(transport)
                got += self.read(peer)
            self.assertTrue(got == sent)

    def test_prefixIsNoBulk(self) -> None:
        """
        Where bytes are added, they all pass through Python.
        """
        transport, peer = self.connected(EchoFactory(prefix=b"> ", reactor=self.reactor))
        transport.protocol.received = PROVEN
        for _ in range(messages.BULK // messages.MOST + 2):
            self.send(peer, bytes(messages.MOST))
            self.serve(transport)
            self.read(peer)
        self.assertIs(transport._echo, messages.echo)

    def test_othersBytes(self) -> None:
        """
        Bytes that were on their way when something broke reach nobody else.
        """
        through = splice.Pipe()
        outlet, other = socket.socketpair(type=socket.SOCK_DGRAM)
        self.addCleanup(outlet.close)
        self.addCleanup(os.close, through.inlet)
        self.addCleanup(os.close, through.outlet)
        with other:
            for _ in range(3):
                other.send(b"less than came in")
            outlet.setblocking(False)
            self.patch(through, "outlet", outlet.fileno())
            self.patch(splice, "pipe", lambda: through)
            self.bulk(self.transport, self.peer)
            self.assertRaises(OSError, self.transport.doRead)
            self.assertRaises(BlockingIOError, outlet.recv, 1)


class BatchPortTests(SynchronousTestCase):
    """
    Tests for :class:`BatchPort`, on a real socket.
    """

    def setUp(self) -> None:
        """
        Listen.
        """
        self.reactor = MemoryReactorClock()
        self.limitedLog = RateLimitedLog(Counters("UDP"))
        listener = openDatagram(Address(socket.AF_INET6, "::", dual=True), 0, reuse=False)
        self.number = listener.getsockname()[1]
        self.guard = Guard({self.number})
        protocol = DatagramEcho()
        self.port = BatchPort(listener, protocol, self.guard, self.limitedLog, self.reactor)
        self.port.startListening()
        self.addCleanup(self.reactor.advance, 0)
        self.addCleanup(self.port.stopListening)

    def asking(self, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
        """
        Make a client that is connected to a host.

        :param port: its own.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        client = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        if port:
            client.bind(("", port))
        client.connect((host, self.number))
        client.setblocking(False)
        return client

    def serve(self) -> None:
        """
        Have the port do what it does when something has come.
        """
        self.port.doRead()

    def got(self, client: socket.socket) -> list[bytes]:
        """
        Return all that has come.
        """
        found = []
        while True:
            try:
                found.append(client.recv(70_000))
            except BlockingIOError:
                return found

    def test_mixed(self) -> None:
        """
        In one batch, each of many is answered from the address that it asked,
        at any size.
        """
        clients = [self.asking(host) for host in ("127.0.0.1", "127.0.0.2", "::1", "127.0.0.3")]
        sizes = [0, 1, 1400, 60_000, 65_507, 2]
        sent = {client: [os.urandom(size) for size in sizes] for client in clients}
        for _ in range(3):
            for number in range(2):
                for client in clients:
                    client.send(sent[client][number])
            self.serve()
            for client in clients:
                self.assertEqual(self.got(client), sent[client][:2])
        for number in range(len(sizes)):
            for client in clients:
                client.send(sent[client][number])
                self.serve()
            for client in clients:
                self.assertTrue(self.got(client) == [sent[client][number]])

    def test_refused(self) -> None:
        """
        The guard judges each one of a batch; those around it are answered.
        """
        good, other = self.asking(), self.asking("127.0.0.2")
        bad = self.asking(port=1023)
        for word in (b"1", b"2", b"3"):
            good.send(word)
            bad.send(word)
            bad.send(word)
            other.send(word)
        self.serve()
        words = [b"1", b"2", b"3"]
        self.assertEqual((self.got(good), self.got(bad), self.got(other)), (words, [], words))
        counters = self.limitedLog.counters.settle()
        self.assertEqual(counters.refused["low source port"], 6)
        self.assertEqual((counters.receivedDatagrams, counters.sentDatagrams), (12, 6))
        self.assertEqual((counters.receivedBytes, counters.sentBytes), (12, 6))

    def test_fairness(self) -> None:
        """
        One wake-up handles so many datagrams and no more; at the end, all.
        """
        client = self.asking()
        for number in range(3 * BatchPort.atOnce):
            client.send(b"%d" % number)
        self.serve()
        self.assertEqual(len(self.got(client)), BatchPort.atOnce)
        self.port.handleRest()
        self.assertEqual(len(self.got(client)), 2 * BatchPort.atOnce)

    def test_sendError(self) -> None:
        """
        A reply that cannot be sent is counted, and the others are sent.
        """
        clients = [self.asking(), self.asking("::1"), self.asking("127.0.0.2")]
        for client in clients:
            client.send(b"hello")
        real, fails = self.port._batch.send, [1]

        def send(fd: int, first: int, end: int) -> int:
            if first in fails:
                raise OSError(errno.EPERM, "no")
            return real(fd, first, min(end, first + 1))

        self.patch(self.port._batch, "send", send)
        self.port.doRead()
        self.assertEqual([len(self.got(client)) for client in clients], [1, 0, 1])
        self.assertEqual(self.limitedLog.counters.errors["send", "EPERM"], 1)
        self.assertEqual(self.limitedLog.counters.sentDatagrams, 2)

    def test_alone(self) -> None:
        """
        A datagram that comes alone from a known place is counted as all are, and guarded
        by nobody; from the next place it is guarded, and answered from what it asked.
        """
        clients = [self.asking("127.0.0.2"), self.asking("127.0.0.3"), self.asking("::1")]
        seen = self.spied()
        for number in range(4):
            for client in clients * 2:
                client.send(b"%d" % number)
                self.serve()
                self.assertEqual(self.got(client), [b"%d" % number])
        counters = self.limitedLog.counters.settle()
        self.assertEqual((counters.receivedDatagrams, counters.sentDatagrams), (24, 24))
        self.assertEqual((counters.receivedBytes, counters.sentBytes), (24, 24))
        self.assertEqual(len(seen), 3)

    def test_notTrusted(self) -> None:
        """
        Whoever is not answered whatever it sends is guarded each time.
        """
        client, seen = self.asking(), self.spied()
        self.patch(self.guard, "trusts", lambda source: False)
        for _ in range(3):
            client.send(b"hello")
            self.serve()
        self.assertEqual((len(self.got(client)), len(seen)), (3, 3))

    def test_told(self) -> None:
        """
        What was told of one datagram does not stay behind what is told of the next, of
        which there may be less.
        """
        told = []
        for used in (batch.Batch(), self.port._batch):
            self.asking("127.0.0.2").send(b"more is told of this one")
            used.receive(self.port.fileno(), 1)
            used.renew(1)
        client = self.asking("::1")
        for used in (batch.Batch(), self.port._batch):
            client.send(b"hello")
            used.receive(self.port.fileno(), 1)
            told += used.told(1)
        self.assertEqual(told[0], told[1])

    def spied(self) -> list[Any]:
        """
        Note what the guard is asked about.
        """
        seen: list[Any] = []
        real = self.guard.refusal

        def refusal(source: Any, toGroup: bool, datagram: bytes) -> str:
            seen.append(source)
            return real(source, toGroup, datagram)

        self.patch(self.guard, "refusal", refusal)
        return seen

    def test_aloneNotSent(self) -> None:
        """
        One that comes alone and cannot be sent is tried once more, and counted once.
        """
        client = self.asking("127.0.0.2")
        client.send(b"known")
        self.port.doRead()

        def fail(*_: object) -> int:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        self.patch(self.port._batch, "sendFirst", fail)
        client.send(b"hello")
        self.port.doRead()
        self.assertEqual(self.got(client), [b"known", b"hello"])
        self.assertEqual(self.limitedLog.counters.receivedDatagrams, 2)
        self.patch(self.port._batch, "send", fail)
        client.send(b"hello")
        self.port.doRead()
        counters = self.limitedLog.counters.settle()
        self.assertEqual((counters.receivedDatagrams, counters.sentDatagrams), (3, 2))
        self.assertEqual(counters.errors["send", "EPERM"], 1)

    def test_aloneRefused(self) -> None:
        """
        Nobody is known because another is: each that comes alone is guarded.
        """
        good, bad = self.asking(), self.asking(port=1023)
        for _ in range(3):
            good.send(b"hello")
            self.serve()
            bad.send(b"hello")
            self.serve()
        self.assertEqual((len(self.got(good)), self.got(bad)), (3, []))
        self.assertEqual(self.limitedLog.counters.refused["low source port"], 3)

    def test_addresses(self) -> None:
        """
        No address is given to the C library as a number, of which it would take half.
        """
        numbers: list[Any] = []
        library = self.port._batch

        def spying(function: Any) -> Any:
            def spy(*arguments: Any) -> Any:
                numbers.extend(one for one in arguments if isinstance(one, int))
                return function(*arguments)

            return spy

        self.patch(library, "_receive", spying(library._receive))
        self.patch(library, "_send", spying(library._send))
        client = self.asking()
        for size in (1, 1, 60_000):
            client.send(bytes(size))
            client.send(bytes(size))
            self.port.doRead()
        self.assertEqual(len(self.got(client)), 6)
        self.assertLess(max(numbers), 2**16)

    def test_lean(self) -> None:
        """
        On the lean reactor it is called by a function, also after it was away, and sees
        what has woken it when nothing has come in.
        """
        reactor: Any = LeanReactor()
        self.addCleanup(reactor._poller.close)
        for waker in reactor._internalReaders:
            self.addCleanup(waker.connectionLost, None)
        self.port.reactor = reactor
        for _ in range(2):
            self.port.startReading()
            self.assertIn(self.port.fileno(), reactor._usual)
            client = self.asking("127.0.0.2")
            client.send(b"hello")
            reactor.doIteration(0)
            self.assertEqual(self.got(client), [b"hello"])
            self.port.stopReading()
            self.assertEqual(reactor._usual, {})
        self.port.startReading()
        looks: list[bool] = []
        self.patch(self.port, "examine", lambda: looks.append(True))
        rest: Any = reactor._usual[self.port.fileno()](self.port.fileno())
        self.assertEqual(rest, (0, errno.EAGAIN))
        self.port.doUnusual(*rest)
        self.assertEqual(looks, [True])
        self.port.stopReading()
        self.port.reactor = self.reactor  # type: ignore[assignment]

    def test_unknownCalls(self) -> None:
        """
        Where the kernel lacks the calls, it goes on one by one.
        """

        def receive(fd: int, most: int) -> list[int]:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        self.patch(self.port._batch, "receive", receive)
        client = self.asking("127.0.0.2")
        client.send(b"hello")
        self.serve()
        self.serve()
        self.assertEqual(self.got(client), [b"hello"])

    def test_works(self) -> None:
        """
        It is not used where either call is refused.
        """

        def refuse(*_: object) -> int:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        self.assertTrue(batch.works.__wrapped__())
        for name in ("receive", "send"):
            patch = self.patch(batch.Batch, name, refuse)
            self.assertFalse(batch.works.__wrapped__())
            patch.restore()

    def test_likePlain(self) -> None:
        """
        It sees the same sources as the portable port, so that the guard can
        judge them alike.
        """
        seen: list[Any] = []

        class Spy(Guard):
            def refusal(self, source: Any, toGroup: bool, datagram: bytes) -> str:
                seen.append((source, toGroup, datagram))
                return super().refusal(source, toGroup, datagram)

        for host in ("127.0.0.2", "::1"):
            client = self.asking(host)
            for kind in (BatchPort, DatagramPort):
                self.port._guard = Spy()
                client.send(b"hello")
                kind.handle(self.port, 1)
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(seen[2], seen[3])

    def test_names(self) -> None:
        """
        A source that the kernel tells of is read as Python reads it.
        """
        v4 = b"\x02\x00\x12\x34" + bytes([192, 0, 2, 1]) + bytes(20)
        self.assertEqual(packetinfo.nameFrom(v4), ("192.0.2.1", 0x1234))
        host = socket.inet_pton(socket.AF_INET6, "fe80::1")
        v6 = b"\x0a\x00\x12\x34" + bytes(4) + host + b"\x02\x00\x00\x00"
        self.assertEqual(packetinfo.nameFrom(v6), ("fe80::1", 0x1234, 0, 2))


class PlainLeanReactorTests(InPython, LeanReactorTests):
    """
    The same in Python.
    """


class PlainFastConnectionTests(InPython, FastConnectionTests):
    """
    The same in Python.
    """


class PlainBatchPortTests(InPython, BatchPortTests):
    """
    The same in Python.
    """


@skipIf(not LINUX or compiled.speedups is None, "needs what is compiled")
class CompiledBatchPortTests(BatchPortTests):
    """
    The same by turns in C.
    """

    def serve(self) -> None:
        """
        Do what the reactor would.
        """
        rest = self.port._compiled(self.port.fileno())
        if rest is not None:
            self.port.doUnusual(*rest)

    def test_noPython(self) -> None:
        """
        What is known is not Python's business any more, from whichever of its addresses
        somebody is to be answered.
        """
        clients = [self.asking(host) for host in ("127.0.0.1", "127.0.0.2", "::1")]
        for turn in range(3):
            for client in clients:
                client.send(b"hello")
            if turn:
                self.patch(self.port, "_answerAll", self.fail)
            self.serve()
            self.assertEqual([self.got(client) for client in clients], [[b"hello"]] * 3)

    def test_notSent(self) -> None:
        """
        A reply that cannot be sent is told and counted once, and the others are sent.
        """
        clients = [self.asking(host) for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3")]
        for client in clients:
            client.send(b"hello")
            self.serve()
            self.assertEqual(self.got(client), [b"hello"])
        wrong = list(self.port._known)[1]
        self.port._known[wrong] = struct.pack("@Nii", 1, 0, 0)  # shorter than it may be
        for _ in range(2):
            for client in clients:
                client.send(b"hello")
            self.serve()
            self.assertEqual([len(self.got(client)) for client in clients], [1, 0, 1])
        counters = self.limitedLog.counters.settle()
        self.assertEqual((counters.receivedDatagrams, counters.sentDatagrams), (9, 7))
        self.assertEqual((counters.receivedBytes, counters.sentBytes), (45, 35))
        self.assertEqual(counters.errors["send", "EINVAL"], 2)

    def test_receiveError(self) -> None:
        """
        An error of the port that a turn meets is told.
        """
        self.patch(self.port, "_compiled", lambda fd: (0, errno.ENOMEM))
        self.serve()
        self.assertEqual(self.limitedLog.counters.errors["receive", "ENOMEM"], 1)

    def test_deniedCalls(self) -> None:
        """
        Where the calls are denied later, it goes on one by one.
        """
        reactor: Any = SimpleNamespace(addUsual=lambda reader, function: left.append(function))
        left: list[Any] = []
        self.patch(self.port, "reactor", reactor)
        self.port.doUnusual(0, errno.EPERM)
        self.assertEqual(left, [self.port._turn])
        client = self.asking("127.0.0.2")
        client.send(b"hello")
        self.assertIsNone(self.port._turn(self.port.fileno()))
        self.assertEqual(self.got(client), [b"hello"])
