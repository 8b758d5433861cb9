"""
Connections that are no more than a descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest import skipUnless

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echotwist import EchoFactory
from echotwist.impair.grammar import Impairments
from echotwist.sockets import options
from echotwist.sockets.access import Access
from echotwist.streams import connection, progress
from echotwist.streams.connection import Connection, lingering
from echotwist.streams.impaired import ImpairedFactory
from echotwist.streams.limits import Limits
from echotwist.streams.port import StreamPort
from echotwist.telemetry.counters import Counters
from tests.support.plain import InPython

LINUX = sys.platform == "linux"
if LINUX:
    from echotwist.fast import bare
    from echotwist.fast.bare import acceptBare
    from echotwist.fast.barereader import BareConnection
    from echotwist.fast.connection import FastConnection
    from echotwist.fast.reactor import LeanReactor

#: What each listener has, and each connection of it.
OPTIONS = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.SOL_SOCKET, socket.SO_OOBINLINE): 1,
    (socket.IPPROTO_TCP, socket.TCP_NODELAY): 1,
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 4)): 77,
    (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", 18)): 12_345,
}


@skipUnless(LINUX, "needs Linux")
class BareTests(SynchronousTestCase):
    """
    Tests for :class:`BareConnections`: all promises hold for them.
    """

    def setUp(self) -> None:
        """
        Make a reactor, and a clock for all that waits.
        """
        self.reactor, self.clock = LeanReactor(), Clock()
        self.addCleanup(self.reactor._poller.close)
        for waker in self.reactor._internalReaders:
            self.addCleanup(waker.connectionLost, None)

    @property
    def counters(self) -> Counters:
        """
        Return the counters, with all that is counted elsewhere.
        """
        return self.factory.counters.settle()

    def listen(self, **words: Any) -> None:
        """
        Listen.

        :param words: for the factory.
        """
        self.factory = EchoFactory(reactor=self.clock, **words)
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)
        self.port = StreamPort(listener, self.factory, self.factory.limitedLog, self.reactor)
        self.port.transport = FastConnection
        acceptBare(self.port)
        self.port.startListening()
        self.addCleanup(self.close)

    def close(self) -> None:
        """
        End all connections, and the port.
        """
        for reader in self.reactor.removeAll():
            if reader not in self.reactor._internalReaders:
                reader.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.counters.active, 0)
        self.assertEqual(self.factory.limits._all, 0)

    def turn(self, times: int = 1) -> None:
        """
        Have what has happened handled.
        """
        for _ in range(times):
            self.reactor.doIteration(0)

    def connect(self) -> socket.socket:
        """
        Connect somebody.
        """
        peer = socket.create_connection(self.port.socket.getsockname(), timeout=10)
        self.addCleanup(peer.close)
        self.turn()
        return peer

    def echoed(self, peer: socket.socket, data: bytes) -> bytes:
        """
        Send something, and give what has come back.
        """
        peer.send(data)
        self.turn()
        return peer.recv(len(data))

    def kinds(self) -> list[type]:
        """
        Tell what the connections are.
        """
        mine = (BareConnection, Connection)
        return [type(one) for one in self.reactor.getReaders() if isinstance(one, mine)]

    def reset(self, peer: socket.socket) -> None:
        """
        Reset a connection.
        """
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    def test_echo(self) -> None:
        """
        Each message is given back and counted, also while the connection goes on.
        """
        self.listen(stallTimeout=8)
        peer = self.connect()
        for number in range(1, 4):
            self.assertEqual(self.echoed(peer, b"hello"), b"hello")
            self.assertEqual(self.counters.receivedBytes, 5 * number)
            self.assertEqual(self.counters.sentBytes, 5 * number)
            self.assertEqual(self.kinds(), [BareConnection])
        self.assertEqual((self.counters.connections, self.counters.active), (1, 1))
        self.assertEqual(self.kinds(), [BareConnection])

    def test_ends(self) -> None:
        """
        The end of a connection, or its reset, is counted, and nothing is left of it.
        """
        self.listen()
        for end in (socket.socket.close, self.reset):
            for sent in (b"", b"hello"):
                peer = self.connect()
                if sent:
                    self.assertEqual(self.echoed(peer, sent), sent)
                [fd] = [one.fileno() for one in self.reactor.getReaders() if self.isBare(one)]
                end(peer)
                self.turn()
                self.assertRaises(OSError, os.fstat, fd)
                self.assertEqual((self.kinds(), self.counters.active), ([], 0))
                self.assertNotIn(fd, self.reactor._usual)
        self.assertEqual((self.counters.connections, self.counters.receivedBytes), (4, 10))

    def isBare(self, reader: object) -> bool:
        """
        Tell whether something is such a connection.
        """
        return isinstance(reader, BareConnection)

    def test_halfClose(self) -> None:
        """
        A client that sends and then half-closes gets everything back, and then the end.
        """
        self.listen()
        peer = self.connect()
        peer.sendall(b"hello")
        peer.shutdown(socket.SHUT_WR)
        self.turn(2)
        self.assertEqual((peer.recv(10), peer.recv(10)), (b"hello", b""))
        self.assertEqual(self.counters.active, 0)

    def test_halfCloseSlow(self) -> None:
        """
        What the peer has yet to take then is not left to the kernel alone.
        """
        self.listen()
        self.alone(False)
        peer = self.connect()
        self.assertEqual(self.echoed(peer, b"hello"), b"hello")
        for module in (bare, connection):
            self.patch(module, "queued", lambda stream: 5)
        peer.shutdown(socket.SHUT_WR)
        self.turn(2)
        self.assertEqual(peer.recv(1), b"")
        self.assertEqual(self.counters.active, 1)
        for module in (bare, connection):
            self.patch(module, "queued", lambda stream: 0)
        for _ in range(1000):
            if self.counters.active:
                self.reactor.doIteration(0.01)
                self.reactor.runUntilCurrent()

    def test_errorAlone(self) -> None:
        """
        The kernel may tell of a reset before it tells that there is something to read: the
        connection ends as after any other event, and so does one that is still open.
        """
        for limits in (Limits(), Limits(mostPerPeer=1)):
            self.listen(limits=limits)
            for end in (self.reset, lambda peer: peer.send(b"hello"), lambda peer: None):
                peer = self.connect()
                [fd] = [one.fileno() for one in self.reactor.getReaders() if self.isBare(one)]
                end(peer)
                handle = self.reactor._handler()
                handle(fd, select.EPOLLERR | select.EPOLLHUP)
                if end != self.reset:
                    self.assertEqual(self.kinds(), [BareConnection])
                    self.reset(peer)
                    self.turn()
                self.assertRaises(OSError, os.fstat, fd)
                self.assertNotIn(fd, self.reactor._usual)
                self.assertEqual((self.kinds(), self.counters.active), ([], 0))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_readFails(self) -> None:
        """
        When the service fails to handle an event, it says so, and the connection is closed.
        """
        self.listen()
        self.connect()
        [fd] = [one.fileno() for one in self.reactor.getReaders() if self.isBare(one)]
        self.patch(BareConnection, "doUnusual", lambda *arguments: 1 // 0)
        self.reactor._handler()(fd, select.EPOLLIN, (None, errno.EIO))
        self.assertRaises(OSError, os.fstat, fd)
        self.assertEqual((self.kinds(), self.counters.active), ([], 0))
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_freed(self) -> None:
        """
        No connection leaves garbage, however it ends.
        """
        self.listen()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        logged = list(filter(self.isBare, gc.get_objects()))  # with the errors of other tests
        for _ in range(3):
            peer = self.connect()
            self.echoed(peer, b"hello")
            self.reset(peer)
            self.turn()
            self.assertEqual(self.counters.active, 0)
        self.assertEqual(list(filter(self.isBare, gc.get_objects())), logged)

    def alone(self, isAlone: bool) -> None:
        """
        Say whether another process may have the descriptors; if so, Python closes them all.
        """
        self.addCleanup(bare._ALONE.__setitem__, 0, bare._ALONE[0])
        bare._ALONE[0] = isAlone

    def test_heldElsewhere(self) -> None:
        """
        After a fork another process may have the descriptor too: nobody is woken by a
        connection that is closed here.
        """
        for hasForked in (False, True):
            self.listen()
            self.alone(not hasForked)
            peer = self.connect()
            [fd] = [one.fileno() for one in self.reactor.getReaders() if self.isBare(one)]
            with socket.socket(fileno=os.dup(fd)):
                self.reset(peer)
                self.turn()
                self.assertEqual(self.counters.active, 0)
                self.assertEqual(bool(self.reactor._poller.poll(0)), not hasForked)

    def test_fork(self) -> None:
        """
        A fork is noticed.
        """
        code = (
            "import os\n"
            "from echotwist.fast import bare\n"
            "assert bare._ALONE[0]\n"
            "os.waitpid(os.fork() or os._exit(0), 0)\n"
            "assert not bare._ALONE[0]\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_nothingToRead(self) -> None:
        """
        An event that was another connection's, of the same descriptor, changes nothing.
        """
        self.listen()
        peer = self.connect()
        [connection] = filter(self.isBare, self.reactor.getReaders())
        connection.doRead()
        self.assertEqual(self.echoed(peer, b"hello"), b"hello")
        self.assertEqual(self.kinds(), [BareConnection])

    def fill(self, peer: socket.socket) -> int:
        """
        Send, and take nothing, until some of it waits here for room.

        :return: how many bytes that were.
        """
        sent = 0
        peer.setblocking(False)
        while not any(getattr(one, "_tempDataLen", 0) for one in self.reactor.getReaders()):
            with contextlib.suppress(BlockingIOError):
                sent += peer.send(bytes(50_000))
            self.turn()
        return sent

    def test_slow(self) -> None:
        """
        A peer that takes its time gets everything, in order.
        """
        self.listen()
        peer = self.connect()
        self.assertEqual(self.echoed(peer, b"first"), b"first")
        sent, got = self.fill(peer), 0
        for _ in range(10_000):
            with contextlib.suppress(BlockingIOError):
                got += len(peer.recv(2**20))
            self.turn()
            if got == sent:
                break
        peer.setblocking(True)
        self.assertEqual(self.echoed(peer, b"last"), b"last")
        self.assertEqual(got, sent)
        self.assertEqual(self.counters.receivedBytes, sent + 9)
        self.assertEqual((self.counters.connections, self.counters.active), (1, 1))

    def test_stall(self) -> None:
        """
        A peer that takes nothing is reset, also if all is in the hands of the kernel.
        """
        for isFull in (True, False):
            self.listen(stallTimeout=8)
            peer = self.connect()
            if isFull:
                self.fill(peer)
            else:
                self.assertEqual(self.echoed(peer, b"hello"), b"hello")
                self.patch(bare, "queued", lambda stream: 5)
                self.patch(progress, "queued", lambda stream: 5)
            for _ in range(14):
                self.clock.advance(1)
                self.reactor.runUntilCurrent()
            self.assertEqual((self.counters.stalled, self.counters.active), (1, 0))

    def test_halfClosedStall(self) -> None:
        """
        So is one that takes nothing and has ended its side.
        """
        self.listen(stallTimeout=8)
        self.alone(False)
        peer = self.connect()
        self.assertEqual(self.echoed(peer, b"hello"), b"hello")
        for module in (bare, progress, connection):
            self.patch(module, "queued", lambda stream: 5)
        peer.shutdown(socket.SHUT_WR)
        self.turn()
        for _ in range(14):
            self.clock.advance(1)
            self.reactor.runUntilCurrent()
        self.assertEqual((self.counters.stalled, self.counters.active), (1, 0))

    def test_trickle(self) -> None:
        """
        So is one that takes nothing and goes on sending.
        """
        self.trickle(0)
        self.assertEqual((self.counters.stalled, self.counters.active), (1, 0))

    def test_slowReader(self) -> None:
        """
        One that takes a byte from time to time is not, and is made no more of.
        """
        self.trickle(1)
        self.assertEqual((self.counters.stalled, self.counters.active), (0, 1))
        self.assertEqual(self.kinds(), [BareConnection])

    def trickle(self, takes: int) -> None:
        """
        Have a peer send a message from time to time.

        :param takes: bytes that it takes each time.
        """
        self.listen(stallTimeout=8)
        peer = self.connect()
        waiting = 0
        for module in (bare, progress):
            self.patch(module, "queued", lambda stream: waiting)
        for _ in range(80):
            if self.counters.active:
                self.assertEqual(self.echoed(peer, b"hello"), b"hello")
            waiting += 5 - takes
            self.clock.advance(0.25)
            self.reactor.runUntilCurrent()

    def test_goesOn(self) -> None:
        """
        A peer that goes on stays what it is; when it has paused and taken everything,
        nobody wakes up any more, until it goes on.
        """
        self.listen(stallTimeout=8)
        self.patch(bare, "queued", lambda stream: 0)  # The kernel may tell late.
        peer = self.connect()
        for _ in range(20):
            self.assertEqual(self.echoed(peer, b"hello"), b"hello")
            self.clock.advance(0.5)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([1] * 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.echoed(peer, b"hello"), b"hello")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(self.kinds(), [BareConnection])
        self.assertEqual(self.counters.receivedBytes, 105)

    def test_silent(self) -> None:
        """
        Nobody wakes up for peers that say nothing.
        """
        self.listen(stallTimeout=8)
        self.connect()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silentBesideOthers(self) -> None:
        """
        While one peer talks, another that says nothing is left alone; when it speaks, it is
        watched too.
        """
        self.listen(stallTimeout=8)
        talker = self.connect()
        self.assertEqual(self.echoed(talker, b"hello"), b"hello")
        silent = self.connect()
        self.clock.pump([1] * 10)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.echoed(silent, b"hello"), b"hello")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(self.counters.receivedBytes, 10)

    def test_watchedAgain(self) -> None:
        """
        When all have left, nobody watches; the next one to talk is watched again.
        """
        self.listen(stallTimeout=8)
        for _ in range(3):
            peer = self.connect()
            self.assertEqual(self.echoed(peer, b"hello"), b"hello")
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.reset(peer)
            self.turn()
            self.factory._finishIfAlone()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reused(self) -> None:
        """
        A new connection that gets the descriptor of one that has ended, in the same turn,
        is served and counted as itself.
        """
        self.listen(stallTimeout=8)
        ends: list[Callable[[socket.socket], object]] = [socket.socket.close, self.reset]
        for number in range(1, 9):
            peer = self.connect()
            [fd] = [one.fileno() for one in self.reactor.getReaders() if self.isBare(one)]
            self.assertEqual(self.echoed(peer, b"hello"), b"hello")
            ends[number % 2](peer)
            other = socket.create_connection(self.port.socket.getsockname(), timeout=10)
            other.send(b"other")
            self.turn()
            [found] = [one for one in self.reactor.getReaders() if self.isBare(one)]
            self.assertEqual(found.fileno(), fd)
            self.turn()
            self.assertEqual(other.recv(9), b"other")
            self.assertEqual(found.name[2:4], struct.pack("!H", other.getsockname()[1]))
            other.close()
            self.turn()
            counters = self.counters
            self.assertEqual((counters.connections, counters.active), (2 * number, 0))
            self.assertEqual(counters.receivedBytes, 10 * number)

    def test_halfCloseFull(self) -> None:
        """
        A client that has yet to take its bytes when it half-closes gets them all, and then
        the end.
        """
        self.listen()
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4608)
            peer.settimeout(10)
            peer.connect(self.port.socket.getsockname())
            self.turn()
            [reader] = filter(self.isBare, self.reactor.getReaders())
            sent = 0
            while options.queued(reader) < 50_000:  # more than its window
                sent += peer.send(bytes(1000))
                self.turn()
            self.assertEqual(self.kinds(), [BareConnection])
            peer.shutdown(socket.SHUT_WR)
            self.turn(3)
            self.assertNotIn(BareConnection, self.kinds())
            self.assertEqual(self.counters.active, 1)
            got = 0
            while got < sent:
                got += len(peer.recv(1000))
                self.turn()
            self.assertEqual(peer.recv(1), b"")
        for _ in range(1000):
            if self.counters.active:
                self.reactor.doIteration(0.01)
                self.reactor.runUntilCurrent()

    def test_limits(self) -> None:
        """
        A connection over a limit is reset and counted, and there is room when another
        one has ended.
        """
        for limits, reason in (
            (Limits(most=1), "too many connections"),
            (Limits(mostPerPeer=1), "too many connections of one peer"),
        ):
            self.listen(limits=limits)
            first = self.connect()
            self.assertRaises(ConnectionResetError, self.connect().recv, 1)
            self.assertEqual(self.counters.refused, {reason: 1})
            first.close()
            self.turn()
            self.assertEqual(self.echoed(self.connect(), b"hello"), b"hello")

    def test_access(self) -> None:
        """
        A peer that is not allowed is reset and counted.
        """
        self.listen(limits=Limits(access=Access((), ["127.0.0.0/8"])))
        self.assertRaises(ConnectionResetError, self.connect().recv, 1)
        self.assertEqual(self.counters.refused, {"not allowed": 1})

    def test_drain(self) -> None:
        """
        A drain gives back what has come, and ends each connection when it is quiet.
        """
        self.listen()
        for module in (progress, connection):  # The kernel may tell late.
            self.patch(module, "queued", lambda stream: 0)
        peer, ended = self.connect(), list[object]()
        self.assertEqual(self.echoed(peer, b"hello"), b"hello")
        self.factory.drain(60).addCallback(ended.append)
        self.assertEqual(self.echoed(peer, b"hello"), b"hello")
        self.assertEqual(ended, [])
        for _ in range(10):
            self.clock.advance(0.2)
            self.turn()
            self.reactor.runUntilCurrent()
        self.assertEqual((peer.recv(1), ended), (b"", [None]))
        self.assertEqual(self.counters.drained, 1)
        self.assertEqual(self.counters.receivedBytes, 10)

    def test_drained(self) -> None:
        """
        A drain of nobody leaves nothing to do.
        """
        self.listen(stallTimeout=8)
        peer = self.connect()
        self.echoed(peer, b"hello")
        peer.close()
        self.turn()
        self.successResultOf(self.factory.drain(60))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_abort(self) -> None:
        """
        All are reset at once, if that is asked for.
        """
        self.listen()
        peer = self.connect()
        self.factory.abortAll()
        self.reactor.runUntilCurrent()
        self.assertRaises(ConnectionResetError, peer.recv, 1)

    def test_reactorStops(self) -> None:
        """
        When the reactor lets go of a connection, it is closed and counted.
        """
        self.listen()
        peer = self.connect()
        self.close()
        self.assertEqual(peer.recv(1), b"")

    def test_otherwise(self) -> None:
        """
        Where there is more to do than to echo, each connection is made at once.
        """
        impaired = ImpairedFactory(Impairments.of(["chunk=1"]), reactor=self.clock)
        self.listen()
        for factory, transport in (
            (EchoFactory(b"> ", reactor=self.clock), FastConnection),
            (EchoFactory(verbose=True, reactor=self.clock), FastConnection),
            (EchoFactory(idleTimeout=1, reactor=self.clock), FastConnection),
            (impaired, FastConnection),
            (self.factory, Connection),
            (self.factory, lingering(1, FastConnection)),
        ):
            listener = socket.create_server(("127.0.0.1", 0))
            self.addCleanup(listener.close)
            port = StreamPort(listener, factory, factory.limitedLog, self.reactor)
            port.transport = transport
            acceptBare(port)
            self.assertNotIn("acceptOne", vars(port))

    def test_notWatched(self) -> None:
        """
        A connection that the kernel has no room to watch is tried again.
        """
        usual, _ = self.reactor.tables()
        self.patch(self.reactor, "tables", lambda: (usual, -1))
        self.listen()

        def fail(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "no room")

        self.patch(self.reactor, "addUsualReader", fail)
        self.assertEqual(self.echoed(self.connect(), b"hello"), b"hello")
        self.assertEqual(self.kinds(), [FastConnection])
        self.assertEqual((self.counters.connections, self.counters.active), (1, 1))

    def test_errors(self) -> None:
        """
        An error of accept(2) is counted, and the next connection served.
        """
        self.listen()
        connections: Any = self.factory.bare[0]

        def fail(listener: int) -> None:
            raise OSError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))

        change = self.patch(connections, "_acceptFrom", fail)
        self.port.accept(1)
        change.restore()
        self.assertEqual(self.counters.errors, {("accept", "ECONNABORTED"): 1})
        some = vars(connections).get("_acceptSome")
        connections._acceptSome = lambda *_: (0, errno.ECONNABORTED, -1)
        connections.doUnusual(*connections.acceptSome(0))
        connections._acceptSome = some
        self.assertEqual(self.counters.errors, {("accept", "ECONNABORTED"): 2})
        self.assertEqual(self.echoed(self.connect(), b"hello"), b"hello")

    def test_noRoomFor(self) -> None:
        """
        A limit holds also if all come at once, and for connections of every kind together.
        """
        self.listen(limits=Limits(most=3))
        self.port.likely = 64
        peers = [socket.create_connection(self.port.socket.getsockname()) for _ in range(9)]
        for peer in peers:
            self.addCleanup(peer.close)
        self.turn(3)
        counters = self.counters
        self.assertEqual((counters.active, counters.refused), (3, {"too many connections": 6}))
        owner: Any = self.factory.bare[0]
        owner.make(next(iter(owner.names)))
        self.assertRaises(ConnectionResetError, self.connect().recv, 1)
        peers[0].close()
        self.turn(3)
        self.assertEqual(self.echoed(self.connect(), b"hello"), b"hello")
        self.assertEqual(self.counters.active, 3)

    def test_notClosed(self) -> None:
        """
        An error of close(2) is counted, and nothing is left of the connection.
        """
        self.listen()
        peer = self.connect()
        [one] = filter(self.isBare, self.reactor.getReaders())
        os.close(one.fileno())
        one.doUnusual(None, -errno.EIO)
        self.assertEqual(self.counters.errors, {("close", "EIO"): 1})
        self.assertEqual((self.kinds(), self.counters.active, one.fileno()), ([], 0, -1))
        peer.close()

    def test_inherited(self) -> None:
        """
        A connection has the options of its listener; and it does not block.
        """
        self.listen()
        for (level, option), value in OPTIONS.items():
            self.port.socket.setsockopt(level, option, value)
        self.connect()
        [fd] = [one.fileno() for one in self.reactor.getReaders() if self.isBare(one)]
        self.assertFalse(os.get_blocking(fd))
        self.assertFalse(os.get_inheritable(fd))
        with socket.socket(fileno=os.dup(fd)) as stream:
            found = {key: stream.getsockopt(*key) for key in OPTIONS}
        self.assertEqual(found, OPTIONS)

    def test_likely(self) -> None:
        """
        Where one comes at a time, it is seldom asked whether there is another; where many
        come at once, they are soon accepted together.
        """
        self.listen()
        asked = 0
        accept = self.port.acceptOne

        def counted() -> Any:
            nonlocal asked
            asked += 1
            return accept()

        self.patch(self.port, "acceptOne", counted)
        for _ in range(100):
            self.connect().close()
            self.turn()
        self.assertLess(asked, 130)
        for _ in range(40):
            for _ in range(20):
                peer = socket.create_connection(self.port.socket.getsockname(), timeout=10)
                self.addCleanup(peer.close)
            self.turn()
        self.assertGreater(self.port.likely, 10)
        self.turn(10)
        self.assertEqual(self.counters.active, 800)


class PlainBareTests(InPython, BareTests):
    """
    The same in Python.
    """
