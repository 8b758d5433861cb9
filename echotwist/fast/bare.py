"""
Connections that are only a descriptor, until one needs more than its bytes back.

Most connections never do: a client connects, gets each message back, and leaves.  To
make and destroy objects for such a connection would take several times as long as all
the rest.
"""

from __future__ import annotations

import errno
import os
import socket
from array import array
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from zope.interface import implementer

from echotwist.fast import compiled, messages
from echotwist.fast.accepting import acceptor
from echotwist.fast.barereader import BareConnection
from echotwist.fast.connection import FastConnection
from echotwist.fast.reactor import LeanReactor
from echotwist.sockets.options import queued
from echotwist.sockets.packetinfo import nameFrom
from echotwist.streams.counted import CountedEcho
from echotwist.streams.factory import EchoFactory
from echotwist.streams.interfaces import IBareConnections
from echotwist.streams.port import StreamPort

#: The places of the words that C code shares: the bytes of ended connections, not yet counted;
#: whether somebody checks if peers take their bytes.
_ENDED, _WATCHED = range(2)

#: Whether C code may close connections: never, where more has to be done.  It may as long as no
#: other process can have the descriptors: then the kernel would go on watching them.
_NEVER, _ALONE = array("Q", [0]), array("Q", [1])


@implementer(IBareConnections)
class BareConnections:
    """
    The bare connections of a port.

    :param port: the port that accepts them.
    :param factory: the factory of the port.
    :param reactor: the reactor of the port.
    :ivar names: the descriptor of each, and the ``struct sockaddr`` of its peer.
    :ivar echo: the function for their usual event: as :func:`messages.echo`, but a 0 instead
        of an error says that this was the first echo since the peers were last watched.
    """

    def __init__(self, port: StreamPort, factory: EchoFactory, reactor: LeanReactor) -> None:
        self.names: dict[int, bytes] = {}
        self._port = port
        self._factory = factory
        self._limits, self._counters = factory.limits, factory.counters
        self._reactor = reactor
        self._acceptFrom = acceptor()
        self._words = array("Q", [0, 0])
        #: How many are counted as open.
        self._counted = 0
        #: For each, the bytes that would wait there if its peer had taken none since the last
        #: check; none for most.
        self._passed: dict[tuple[int, bytes], int] = {}
        self.echo: Callable[[int], tuple[bytes | None, Any] | None] = self._echo
        if compiled.speedups:
            self._compile(compiled.speedups)
        factory.bare.append(self)
        factory.limits.bare.append(self)
        reactor.late.add(self)

    def _compile(self, speedups: Any) -> None:
        mayEnd = _NEVER if self._limits.byPeer else _ALONE
        addresses = [words.buffer_info()[0] for words in (self._words, mayEnd)]
        state = (*addresses, self.names, *self._reactor.tables(), self._words)
        self._acceptSome, self.echo = speedups.bares(state)
        if not self._limits.byPeer:
            self._port.startReading = self.startReading  # type: ignore[method-assign]
            self._port.doUnusual = self.doUnusual  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.names)

    def reader(self, fd: int) -> BareConnection | None:
        """
        Make the object that stands for a connection; ``None`` if it is not bare.
        """
        name = self.names.get(fd)
        return None if name is None else BareConnection(fd, name, self)

    def readers(self) -> list[BareConnection]:
        """
        Make the objects that stand for all connections.
        """
        return [BareConnection(fd, name, self) for fd, name in self.names.items()]

    def startReading(self) -> None:
        """
        Let the reactor accept connections when they wait.
        """
        StreamPort.startReading(self._port)
        self._reactor.addUsual(self._port, self.acceptSome)

    def doUnusual(self, error: int) -> None:
        """
        Take over where :meth:`acceptSome` gave up.

        :param error: the number of the error of accept(2); 0 if there was none.
        """
        if error:
            self._port.failedToAccept(OSError(error, os.strerror(error)))
        else:
            self._port.doRead()

    def acceptSome(self, listener: int) -> tuple[int] | None:
        """
        Accept connections, if there is room for all that may come.

        :return: ``None`` when all is done; or else the arguments of
            :meth:`doUnusual`.
        """
        most = int(self._port.likely)
        if not (self._factory.takesBare and self._limits.hasRoom(most)):
            return (0,)
        count, error, unwatched = self._acceptSome(listener, most)
        self._words[_WATCHED] = self._factory.isWatching()
        self._counters.connections += count
        if count:
            self._port.accepted(count, most)
        if unwatched != -1:
            self._port.welcome(unwatched, nameFrom(self.names.pop(unwatched)))
        elif error not in (0, errno.EAGAIN, errno.EINTR):
            return (error,)
        elif not count:
            return (0,)
        return None

    def accept(self) -> tuple[int, tuple[Any, ...]] | Literal[True] | None:
        """
        Accept a connection, and keep it bare if an echo is all that it needs; see
        :meth:`StreamPort.acceptOne`.

        :raise OSError: no connection could be accepted.
        """
        found = self._acceptFrom(self._port.fileno())
        if found is None:
            return None
        fd, name = found
        return self._take(fd, name) or (fd, nameFrom(name))

    def _take(self, fd: int, name: bytes) -> Literal[True] | None:
        limits = self._limits
        host = self._hostOf(name)
        if limits.refusal(host) or not self._factory.takesBare:
            return None
        try:
            self._reactor.addUsualReader(fd, self.echo)
        except OSError:
            return None
        self.names[fd] = name
        self._words[_WATCHED] = self._factory.isWatching()
        self._counters.connections += 1
        if limits.byPeer:
            limits.openedBare(host)
        return True

    def _echo(self, fd: int) -> tuple[bytes | None, Any] | None:
        rest = messages.echo(fd)
        return rest if rest is not None or self._words[_WATCHED] else (None, 0)

    def goOn(self, bare: BareConnection, data: bytes | None, outcome: Any) -> None:
        """
        Do what there is to do beside an echo; see :meth:`FastConnection.doUnusual`.

        :param outcome: also 0 for a first echo, and the negative number of an error of
            close(2), instead of the error of a read.
        """
        fd = bare.fileno()
        if data is None and outcome == 0:
            self._words[_WATCHED] = 1
            self._factory.watch()
        elif data is None and outcome < 0:
            self._leave(fd)
            self._reactor.forget(fd, False)
            self._port.failed("close", OSError(-outcome, os.strerror(-outcome)))
        elif data is None and outcome == errno.EAGAIN:
            return
        elif outcome == errno.ECONNRESET if data is None else not (data or queued(bare)):
            self._end(fd)
        else:
            self.make(fd)
            self._reactor.finish(fd, (data, outcome))

    def _end(self, fd: int) -> None:
        self._leave(fd)
        self._reactor.forget(fd, not _ALONE[0])
        try:
            os.close(fd)
        except OSError as error:
            self._port.failed("close", error)

    def _leave(self, fd: int) -> bytes:
        """
        Take a connection out of our tables: it is closed next, or another object takes it.

        :return: the name of its peer.
        """
        self._words[_ENDED] += messages.taken(fd)
        name = self.names.pop(fd)
        if self._limits.byPeer:
            self._limits.closedBare(self._hostOf(name))
        return name

    def clientOf(self, name: bytes) -> tuple[Any, ...]:
        """
        Return the peer's address as a connection keeps it.
        """
        return self._port.clientOf(nameFrom(name))

    def _hostOf(self, name: bytes) -> str:
        return self.clientOf(name)[0] if self._limits.byPeer else ""

    def make(self, fd: int) -> CountedEcho:
        """
        Make the objects of a connection, which take it over.
        """
        client = self.clientOf(self._leave(fd))
        port, factory = self._port, self._factory
        stream = socket.socket(port.addressFamily, socket.SOCK_STREAM, 0, fd)
        self._counters.connections -= 1  # The echo counts itself.
        echo = factory.echo(client[0])
        self._reactor.adopt(fd)
        connection = port.transported(stream, echo, client)
        self._reactor.replaceReader(connection)
        echo.makeConnection(connection)
        if queued(connection):
            factory.wrote(echo)
        return echo

    def settle(self) -> None:
        """
        Count the connections, and the bytes echoed since the last time.
        """
        before, self._passed = self._passed, {}
        size, self._words[_ENDED] = self._words[_ENDED], 0
        for one in self.names.items():
            new = messages.taken(one[0])
            size += new
            if new or one in before:
                self._passed[one] = before.get(one, 0) + new
        counters, count = self._counters, len(self.names)
        counters.receivedBytes += size
        counters.sentBytes += size
        counters.active += count - self._counted
        self._counted = count

    def makeWaiting(self) -> bool:
        """
        Make the objects of the connections whose peers have bytes to take, and took none
        since the last check: from then on the factory watches them for a stall.
        """
        self.settle()
        before, self._passed = self._passed, {}
        for (fd, name), most in before.items():
            waiting = queued(BareConnection(fd, name, self))
            if waiting and waiting >= most:
                self.make(fd)
            elif waiting:
                self._passed[fd, name] = waiting
        self._words[_WATCHED] = bool(before)
        return bool(before)

    def makeAll(self) -> None:
        """
        Make the objects of all connections.
        """
        for fd in list(self.names):
            self.make(fd)


def acceptBare(port: StreamPort) -> None:
    """
    Keep the connections of a port bare, where an exact echo is all that they need.
    """
    factory, reactor = port.factory, port.reactor
    if (
        type(port) is StreamPort
        and port.transport is FastConnection
        and type(factory) is EchoFactory
        and factory.takesBare
        and isinstance(reactor, LeanReactor)
    ):
        port.acceptOne = BareConnections(port, factory, reactor).accept


os.register_at_fork(after_in_parent=partial(_ALONE.__setitem__, 0, 0))
