"""
What is compiled does what Python does, and nothing else gets between.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest import skipIf, skipUnless

from twisted.trial.unittest import SynchronousTestCase

from echotwist.sockets.packetinfo import nameFrom
from tests.support.compiling import COMPILES

LINUX = sys.platform == "linux"
if LINUX:
    from echotwist.fast import compiled, messages
    from echotwist.fast.accepting import Acceptor
    from echotwist.fast.batch import BATCH, Batch
    from echotwist.fast.compiled import speedups

#: Seconds after which a thing that should have happened never will.
PATIENCE_S = 60

IN = select.EPOLLIN if LINUX else 0


#: Nobody has asked for the slower way.
WANTED = COMPILES and os.environ.get("ECHOTWIST_SPEEDUPS") != "0"


@skipUnless(WANTED, "needs Linux, a compiler, and the headers of Python")
class BuiltTests(SynchronousTestCase):
    """
    What can be compiled was compiled.
    """

    def test_built(self) -> None:
        """
        Nobody who has a compiler gets the slower way without a word.
        """
        self.assertIsNotNone(compiled.speedups, "not compiled: pip install -v . says why")
        self.assertIs(messages.echo, compiled.speedups.echo)


@skipUnless(LINUX, "needs Linux")
class FoundTests(SynchronousTestCase):
    """
    Tests for :func:`compiled.found`.
    """

    def test_otherBuild(self) -> None:
        """
        What another version of the package left behind is not used.
        """
        self.patch(os, "environ", {})
        modules = [SimpleNamespace(BUILD=compiled.BUILD + more) for more in (-1, 1, 0)]
        del modules[0].BUILD
        found = []
        for module in modules:
            self.patch(compiled, "import_module", lambda name, module=module: module)
            found.append(compiled.found())
        self.assertEqual(found, [None, None, modules[2]])


@skipUnless(LINUX, "needs Linux")
class MessageTests(SynchronousTestCase):
    """
    The echo of a message, in Python.
    """

    def setUp(self) -> None:
        """
        Connect.
        """
        self.echo, self.taken = messages.plainEcho, messages.plainTaken
        self.near, self.far = self.connected()
        self.taken(self.near.fileno())

    def connected(self) -> tuple[socket.socket, socket.socket]:
        """
        Make a pair of sockets that do not block.
        """
        pair = socket.socketpair()
        for one in pair:
            one.setblocking(False)
            self.addCleanup(one.close)
        return pair

    def echoed(self) -> Any:
        """
        Have a message echoed, and say how an error is called.
        """
        rest = self.echo(self.near.fileno())
        if rest and isinstance(rest[1], OSError):
            self.assertTrue(rest[1].strerror)
            return rest[0], type(rest[1]), rest[1].errno
        return rest

    def test_usual(self) -> None:
        """
        What has come goes back, and is counted once.
        """
        for passed in (5, 10):
            for _ in range(passed // 5):
                self.far.send(b"hello")
                self.assertIsNone(self.echoed())
                self.assertEqual(self.far.recv(9), b"hello")
            self.assertEqual(self.taken(self.near.fileno()), passed)
            self.assertEqual(self.taken(self.near.fileno()), 0)

    def test_highDescriptors(self) -> None:
        """
        Each descriptor counts for itself, however high.
        """
        fds = [self.near.fileno(), *(os.dup(self.near.fileno()) for _ in range(2))]
        fds += [fcntl.fcntl(self.near.fileno(), fcntl.F_DUPFD, at) for at in (700, 701)]
        for fd in fds[1:]:
            self.addCleanup(os.close, fd)
            self.taken(fd)
        for size, fd in enumerate(fds, 1):
            self.far.send(bytes(size))
            self.assertIsNone(self.echo(fd))
        self.assertEqual([self.taken(fd) for fd in fds], [1, 2, 3, 4, 5])
        self.assertEqual(self.taken(100_000), 0)

    def test_unusual(self) -> None:
        """
        Whatever is not usual is left, with all that was read, and not counted.
        """
        self.assertEqual(self.echoed(), (None, errno.EAGAIN))
        self.far.shutdown(socket.SHUT_WR)
        self.assertEqual(self.echoed(), (b"", 0))
        self.near, self.far = self.connected()
        self.far.send(b"last")
        self.far.shutdown(socket.SHUT_RD)
        self.assertEqual(self.echoed(), (b"last", BrokenPipeError, errno.EPIPE))
        self.near, self.far = self.connected()
        self.far.send(b"first")
        self.near.send(b"unread")
        self.far.close()
        self.assertEqual(self.echoed()[:1], (b"first",))
        self.assertEqual(self.taken(self.near.fileno()), 0)

    def test_bulk(self) -> None:
        """
        Whoever sends as much as is read at once, again and again, is left from then on.
        """
        full = os.urandom(messages.MOST)
        for passed in range(0, messages.BULK + 1, messages.MOST):
            self.far.send(full)
            rest = (full, messages.MOST) if passed == messages.BULK else None
            self.assertEqual(self.echoed(), rest)
            self.assertTrue(self.far.recv(2**20) == full)
        self.far.send(b"little")
        self.assertIsNone(self.echoed())
        self.assertEqual(self.taken(self.near.fileno()), messages.BULK + 6)

    def test_partly(self) -> None:
        """
        What the peer has no room for is left: how much of it was written is told.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.far = socket.create_connection(listener.getsockname())
            self.near, _ = listener.accept()
        for one in (self.near, self.far):
            one.setblocking(False)
            self.addCleanup(one.close)
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        sent = got = b""
        rest = None
        while rest is None:
            sent += (data := os.urandom(50_000))
            self.far.send(data)
            select.select([self.near], [], [], PATIENCE_S)
            while rest is None and select.select([self.near], [], [], 0.01)[0]:
                rest = self.echoed()
        left, outcome = rest[0], rest[1] if isinstance(rest[1], int) else 0
        passed = self.taken(self.near.fileno()) + outcome
        while len(got) < passed:
            select.select([self.far], [], [], PATIENCE_S)
            got += self.far.recv(2**20)
        self.assertEqual(got, sent[:passed])
        self.assertTrue(sent[passed:].startswith(left[outcome:]))
        self.assertLess(outcome, len(left))

    def test_noDescriptor(self) -> None:
        """
        What is no descriptor is an error.
        """
        self.near.close()
        self.assertEqual(self.echo(-1), (None, errno.EBADF))
        self.assertRaises(TypeError, self.echo, "1")
        self.assertRaises(TypeError, self.taken, "1")


@skipIf(not LINUX or speedups is None, "needs what is compiled")
class CompiledMessageTests(MessageTests):
    """
    The same in C.
    """

    def setUp(self) -> None:
        """
        Connect.
        """
        super().setUp()
        self.echo, self.taken = speedups.echo, speedups.taken
        self.taken(self.near.fileno())

    def test_most(self) -> None:
        """
        Both read as much at once.
        """
        data = bytes(2 * messages.MOST)
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
        self.far.send(data)
        self.assertIsNone(self.echoed())
        self.assertEqual(self.taken(self.near.fileno()), messages.MOST)


@skipUnless(LINUX, "needs Linux")
class AcceptorTests(SynchronousTestCase):
    """
    Accepting, in Python.
    """

    def setUp(self) -> None:
        """
        Choose how.
        """
        self.accept = Acceptor().accept

    def test_accept(self) -> None:
        """
        A connection that waits is given with the name of its peer, of the same size for
        IPv4 and IPv6; nothing if none waits.
        """
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.create_server((host, 0), family=family) as listener:
                listener.setblocking(False)
                self.assertIsNone(self.accept(listener.fileno()))
                with socket.create_connection(listener.getsockname()[:2]) as peer:
                    found = self.accept(listener.fileno())
                    assert found
                    fd, name = found
                    with socket.socket(fileno=fd) as stream:
                        self.assertFalse(os.get_blocking(fd) or os.get_inheritable(fd))
                        self.assertEqual(stream.getpeername(), peer.getsockname())
                    self.assertEqual(nameFrom(name)[:2], peer.getsockname()[:2])
                    self.assertEqual(len(name), 28)

    def test_errors(self) -> None:
        """
        An error is raised.
        """
        with socket.socket() as unbound:
            for fd, number in ((-1, errno.EBADF), (unbound.fileno(), errno.EINVAL)):
                with self.assertRaises(OSError) as caught:
                    self.accept(fd)
                self.assertEqual(caught.exception.errno, number)


@skipIf(not LINUX or speedups is None, "needs what is compiled")
class CompiledAcceptorTests(AcceptorTests):
    """
    The same in C.
    """

    def setUp(self) -> None:
        """
        Choose how.
        """
        self.accept = speedups.accepted


@skipIf(not LINUX or speedups is None, "needs what is compiled")
class BaresTests(SynchronousTestCase):
    """
    Tests for ``bares``.
    """

    def setUp(self) -> None:
        """
        Listen.
        """
        self.table, self.names = Table(), dict[int, bytes]()
        self.addCleanup(self.table.epoll.close)
        self.words, self.ends = array("Q", [0, 1]), array("Q", [1])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.addCleanup(self.listener.close)

    def functions(self, epoll: int) -> Any:
        """
        Make the functions.
        """
        addresses = [words.buffer_info()[0] for words in (self.words, self.ends)]
        return speedups.bares((*addresses, self.names, self.table.usual, epoll, self.words))

    def connected(self) -> socket.socket:
        """
        Connect.
        """
        peer = socket.create_connection(self.listener.getsockname())
        self.addCleanup(peer.close)
        return peer

    def test_accept(self) -> None:
        """
        It accepts as many as it is told to, and enters them.
        """
        accept, echo = self.functions(self.table.epoll.fileno())
        peers = [self.connected() for _ in range(3)]
        self.assertEqual(accept(self.listener.fileno(), 2), (2, 0, -1))
        self.assertEqual(accept(self.listener.fileno(), 2), (1, errno.EAGAIN, -1))
        self.assertEqual(set(self.table.usual.values()), {echo})
        self.assertEqual(
            [nameFrom(name) for name in self.names.values()],
            [peer.getsockname() for peer in peers],
        )
        for fd in self.names:
            os.close(fd)

    def test_noRoom(self) -> None:
        """
        A connection that cannot be watched is given back, and no other one accepted.
        """
        accept, _ = self.functions(-1)
        peers = [self.connected() for _ in range(3)]
        for peer in peers:
            count, error, fd = accept(self.listener.fileno(), 3)
            self.assertEqual((count, error), (0, errno.EBADF))
            self.assertEqual(nameFrom(self.names.pop(fd)), peer.getsockname())
            os.close(fd)
        self.assertEqual(self.table.usual, {})

    def test_errors(self) -> None:
        """
        The number of an error is given; nothing is accepted.
        """
        accept, _ = self.functions(self.table.epoll.fileno())
        self.assertEqual(accept(-1, 3), (0, errno.EBADF, -1))
        self.assertRaises(TypeError, accept, "1", 3)

    def test_ends(self) -> None:
        """
        A connection that has ended is closed, if that is wanted; its bytes are counted.
        """
        accept, _ = self.functions(self.table.epoll.fileno())
        for ends in (1, 0):
            self.ends[0] = ends
            peer = self.connected()
            self.assertEqual(accept(self.listener.fileno(), 1), (1, 0, -1))
            [fd] = self.names
            peer.send(b"hello")
            self.assertEqual(self.table.serve(), [])
            self.assertEqual(peer.recv(9), b"hello")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            left = self.table.serve()
            if ends:
                self.assertEqual((left, self.names, self.table.usual), ([], {}, {}))
                self.assertRaises(OSError, os.fstat, fd)
            else:
                [(found, _, rest)] = left
                self.assertEqual((found, rest), (fd, (None, errno.ECONNRESET)))
                self.assertEqual(speedups.taken(fd), 5)
                os.close(fd)
            self.assertEqual(self.words[0], 5)
            self.assertEqual(speedups.taken(fd), 0)

    def test_noDescriptor(self) -> None:
        """
        What is no descriptor is an error.
        """
        _, echo = self.functions(self.table.epoll.fileno())
        self.assertEqual(echo(-1), (None, errno.EBADF))
        self.assertRaises(TypeError, echo, "1")

    def test_first(self) -> None:
        """
        While nobody checks whether peers take their bytes, an echo is told.
        """
        accept, echo = self.functions(self.table.epoll.fileno())
        peer = self.connected()
        accept(self.listener.fileno(), 1)
        [fd] = self.names
        for watched in (1, 0, 1):
            self.words[1] = watched
            peer.send(b"hello")
            self.assertEqual(echo(fd), None if watched else (None, 0))
            self.assertEqual(peer.recv(9), b"hello")
        self.assertEqual(speedups.taken(fd), 15)
        os.close(fd)

    def test_lifetime(self) -> None:
        """
        Nothing is left of the functions, and of what they hold.
        """
        table = Functions()
        gone = weakref.ref(table)
        self.table.usual = table
        both = self.functions(self.table.epoll.fileno())
        self.table.usual = {}
        del table, both
        gc.collect()
        self.assertIsNone(gone())


class Functions(dict[int, Any]):
    """
    A table of functions that can be watched.
    """


class Table:
    """
    Descriptors that are watched, and their functions.
    """

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.usual: dict[int, Callable[[int], Any]] = {}

    def serve(self, timeout: int = 0, once: bool = True) -> list[tuple[Any, ...]]:
        """
        Wait and serve.
        """
        return list(speedups.serve(self.epoll.fileno(), self.usual, timeout, once))


@contextlib.contextmanager
def handled(handler: Callable[[], object]) -> Iterator[None]:
    """
    Handle a signal, and leave no trace of that for the reactor of these tests.
    """
    before = signal.signal(signal.SIGUSR1, lambda *_: handler())
    wakeup = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGUSR1, before)


@skipIf(not LINUX or speedups is None, "needs what is compiled")
class ServeTests(SynchronousTestCase):
    """
    Tests for ``serve``.
    """

    def setUp(self) -> None:
        """
        Watch nothing yet.
        """
        self.table = Table()
        self.addCleanup(self.table.epoll.close)

    def watched(self, function: Any = None, isReady: bool = True) -> tuple[int, socket.socket]:
        """
        Watch a socket.

        :param function: in the table; none if there is none.
        :param isReady: something has come in.
        """
        near, far = socket.socketpair()
        for one in (near, far):
            one.setblocking(False)
            self.addCleanup(one.close)
        self.addCleanup(speedups.taken, near.fileno())
        self.table.epoll.register(near, select.EPOLLIN)
        if function:
            self.table.usual[near.fileno()] = function
        if isReady:
            far.send(b"hello")
        return near.fileno(), far

    def restless(self) -> None:
        """
        Watch connections to themselves, on which messages never cease.
        """
        for _ in range(3):
            self.restlessOne()

    def restlessOne(self) -> None:
        """
        Watch one.
        """
        with contextlib.ExitStack() as stack:
            while True:
                one = stack.enter_context(socket.socket())
                one.bind(("127.0.0.1", 0))
                with contextlib.suppress(OSError):
                    one.connect(one.getsockname())
                    break
            stack.pop_all()
        self.addCleanup(speedups.taken, one.fileno())
        self.addCleanup(one.close)
        one.setblocking(False)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.send(b"for ever")
        self.table.epoll.register(one, select.EPOLLIN)
        self.table.usual[one.fileno()] = speedups.echo

    def test_mixed(self) -> None:
        """
        Usual events are handled, and the others given.
        """
        _, far = self.watched(speedups.echo)
        other, _ = self.watched()
        writer, _ = self.watched(speedups.echo)
        self.table.epoll.modify(writer, select.EPOLLIN | select.EPOLLOUT)
        found = [(other, IN), (writer, IN | select.EPOLLOUT)]
        self.assertEqual(sorted(self.table.serve()), sorted(found))
        self.assertEqual(far.recv(9), b"hello")

    def test_order(self) -> None:
        """
        What a function leaves comes before everything else, and no other function is
        called before it is handled: nothing can have happened to its descriptor.  All else
        that has happened is told too, so that nobody waits for those who leave something.
        """
        for number in range(10):
            self.watched()
            self.watched(lambda fd, number=number: (number, os.read(fd, 9)))
        for number in range(10):
            first, *others = self.table.serve()
            self.assertEqual(first[1:], (IN, (number, b"hello")))
            self.assertEqual([len(one) for one in others], [2] * (19 - number))
        self.assertEqual(len(self.table.serve()), 10)

    def test_raised(self) -> None:
        """
        A function that raises leaves its exception.
        """
        error = ValueError("no")

        def fail(fd: int) -> None:
            raise error

        fd, _ = self.watched(fail)
        self.assertEqual(self.table.serve(), [(fd, IN, error)])
        self.assertIsNotNone(error.__traceback__)

    def test_python(self) -> None:
        """
        After a function in Python, which may have done anything, Python has its turn.
        """
        fds = [self.watched(lambda fd: os.read(fd, 9) and None)[0] for _ in range(3)]
        self.assertEqual(self.table.serve(-1, once=False), [])
        self.assertFalse(select.select(fds, [], [], 0)[0])

    def test_leaves(self) -> None:
        """
        A function may leave the table while it runs, and take others with it, whose
        events are then nobody's.
        """
        called: list[int] = []

        def leave(fd: int) -> None:
            called.append(fd)
            self.table.usual.clear()

        for _ in range(3):
            self.watched(leave)
        self.assertEqual(len(self.table.serve()), 2)
        self.assertEqual(len(called), 1)

    def test_many(self) -> None:
        """
        However many are ready, each has its turn.
        """
        fars = [self.watched(speedups.echo)[1] for _ in range(300)]
        self.watched()
        while not self.table.serve():
            pass
        self.table.serve()
        for far in fars:
            self.assertEqual(far.recv(9), b"hello")

    def test_deadline(self) -> None:
        """
        It ends in time, also if messages never cease; and not before.
        """
        for prepare in (bool, self.restless):
            prepare()
            begin = time.monotonic()
            self.assertEqual(self.table.serve(100, once=False), [])
            self.assertGreater(time.monotonic() - begin, 0.095)

    def test_signal(self) -> None:
        """
        A signal ends the wait, when its handler has run, without any other event.
        """
        seen: list[bool] = []
        with handled(lambda: seen.append(True)):
            # The kernel could choose the other thread, which does not wait here.
            ident = threading.get_ident()
            timer = threading.Timer(0.1, signal.pthread_kill, [ident, signal.SIGUSR1])
            timer.start()
            self.assertEqual(self.table.serve(-1, once=False), [])
            timer.join()
        self.assertEqual(seen, [True])

    def test_raisingHandler(self) -> None:
        """
        What its handler raises is raised, also if messages never cease.
        """

        def fail() -> None:
            raise KeyboardInterrupt

        ident = threading.get_ident()
        for prepare in (bool, self.restless):
            prepare()
            with handled(fail):
                timer = threading.Timer(0.1, signal.pthread_kill, [ident, signal.SIGUSR1])
                timer.start()
                self.assertRaises(KeyboardInterrupt, self.table.serve, -1, False)
                timer.join()

    def test_threads(self) -> None:
        """
        Others run while it waits, and while messages never cease.
        """
        for prepare in (bool, self.restless):
            prepare()
            _, far = self.watched(isReady=False)
            thread = threading.Timer(0.1, far.send, [b"x"])
            thread.start()
            self.assertEqual(len(self.table.serve(-1, once=False)), 1)
            thread.join()

    def test_errors(self) -> None:
        """
        What cannot be waited for is an error.
        """
        with self.assertRaises(OSError) as caught:
            speedups.serve(-1, {}, 0, True)
        self.assertEqual(caught.exception.errno, errno.EBADF)
        self.assertRaises(TypeError, speedups.serve, 0, [], 0, True)
        self.assertRaises(TypeError, speedups.serve)

    def test_freed(self) -> None:
        """
        Nothing is left behind, whatever happens.
        """

        def fail(fd: int) -> None:
            raise ValueError

        self.watched()
        near, far = self.watched(speedups.echo)
        # Small numbers are never freed.
        high = fcntl.fcntl(near, fcntl.F_DUPFD, 1000)
        self.addCleanup(os.close, high)
        self.addCleanup(speedups.taken, high)
        self.table.epoll.unregister(near)
        self.table.epoll.register(high, select.EPOLLIN)
        self.table.usual[high] = speedups.echo
        self.watched(fail)
        self.watched(lambda fd: (b"rest" * 100, 7))
        closed, other = self.watched(speedups.echo)
        other.close()

        def all() -> None:
            for _ in range(5):
                far.send(b"hello")
                self.table.serve()
                far.recv(9)
                speedups.echo(closed)
                speedups.echo(-1)
                speedups.taken(closed)

        all()
        before, none = sys.getallocatedblocks(), sys.getrefcount(None)
        for _ in range(200):
            all()
        self.assertLess(sys.getallocatedblocks() - before, 200)
        self.assertLess(sys.getrefcount(None) - none, 200)


@skipIf(not LINUX or speedups is None, "needs what is compiled")
class TurnTests(SynchronousTestCase):
    """
    Tests for the turns of a port of datagrams.
    """

    def setUp(self) -> None:
        """
        Listen, and know what is told of one client.
        """
        self.batch = Batch()
        self.known: dict[bytes, bytes] = {}
        self.turn = self.batch.turns(self.known)
        self.port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port.bind(("127.0.0.1", 0))
        self.port.setblocking(False)
        self.addCleanup(self.port.close)
        self.client, self.other = self.asking(), self.asking()
        self.know(self.client)

    def asking(self) -> socket.socket:
        """
        Make a client.
        """
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.connect(self.port.getsockname())
        client.setblocking(False)
        return client

    def know(self, client: socket.socket) -> None:
        """
        Have a client answered whatever it sends.
        """
        client.send(b"first")
        self.assertEqual(self.turn(self.port.fileno()), (1, 0))
        self.known[self.batch.first()] = b""
        self.batch.renew(1)

    def test_nothing(self) -> None:
        """
        When nothing has come, or the call fails, the number of the error is left.
        """
        self.assertEqual(self.turn(self.port.fileno()), (0, errno.EAGAIN))
        self.assertEqual(self.turn(-1), (0, errno.EBADF))

    def test_known(self) -> None:
        """
        Those that are known are answered and counted, as many as have come at once.
        """
        words = [b"%d" % number for number in range(BATCH + 1)]
        for word in words:
            self.client.send(word)
        self.assertIsNone(self.turn(self.port.fileno()))
        self.assertEqual(self.batch.counted(), (BATCH, len(b"".join(words[:BATCH]))))
        self.assertIsNone(self.turn(self.port.fileno()))
        self.assertEqual([self.client.recv(9) for _ in words], words)
        self.assertEqual(self.batch.counted(), (1, 2))
        self.assertEqual(self.batch.counted(), (0, 0))

    def test_unknown(self) -> None:
        """
        If one is not known, all are left, and nothing is counted or sent.
        """
        for client in (self.client, self.other, self.client):
            client.send(b"hello")
        self.assertEqual(self.turn(self.port.fileno()), (3, 0))
        self.assertEqual((self.batch.counted(), self.batch.sizes(3)), ((0, 0), [5, 5, 5]))
        self.assertEqual([told in self.known for told in self.batch.told(3)], [True, False, True])
        self.assertRaises(BlockingIOError, self.client.recv, 9)

    def test_notSent(self) -> None:
        """
        If one cannot be sent, it and those after it are left.
        """
        wrong = struct.pack("@Nii", 1, 0, 0)  # shorter than it may be
        self.know(self.other)
        [told] = [
            told for told in self.known if self.other.getsockname()[1].to_bytes(2, "big") in told
        ]
        self.known[told] = wrong
        for client in (self.client, self.other, self.client):
            client.send(b"hello")
        self.assertEqual(self.turn(self.port.fileno()), (3, 1))
        self.batch.renew(3)
        self.other.send(b"hello")
        self.assertEqual(self.turn(self.port.fileno()), (1, 0))
        self.assertEqual(self.batch.counted(), (0, 0))
        self.assertEqual(self.client.recv(9), b"hello")

    def test_fresh(self) -> None:
        """
        After a turn that is over, all is as before.
        """
        before = self.batch._memory[: self.batch._replies]
        for count in (1, 3, BATCH):
            for _ in range(count):
                self.client.send(bytes(count))
            self.assertIsNone(self.turn(self.port.fileno()))
            lengths = self.batch.sizes(BATCH)
            self.assertEqual(lengths[0], count)
            self.batch._sizes[:] = memoryview(bytes(4 * BATCH)).cast("I")
            self.assertEqual(self.batch._memory[: self.batch._replies], before)

    def test_lifetime(self) -> None:
        """
        The function keeps the memory that it works with, and that ends with it.  Nothing
        else is left behind.
        """
        gone = weakref.ref(self.batch)
        del self.batch

        def turns(count: int) -> None:
            for _ in range(count):
                self.client.send(b"hello")
                self.assertIsNone(self.turn(self.port.fileno()))
                self.assertEqual(self.client.recv(9), b"hello")
                self.assertEqual(self.turn(self.port.fileno()), (0, errno.EAGAIN))

        turns(10)
        before = sys.getallocatedblocks()
        turns(1000)
        self.assertLess(sys.getallocatedblocks() - before, 200)
        self.assertIsNotNone(gone())
        del self.turn
        gc.collect()
        self.assertIsNone(gone())
