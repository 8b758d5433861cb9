"""
Connections that are only a descriptor, until one needs more than its bytes back.

Most connections never do: a client connects, gets each message back, and leaves.  To
make and destroy Twisted's objects for such a connection would take several times as
long as all the rest.
"""

from __future__ import annotations

import errno
import os
import socket
from functools import partial
from typing import Any, Literal

from twisted.python.failure import Failure
from zope.interface import implementer

from echotwist.fast import messages
from echotwist.fast.accepting import acceptor
from echotwist.fast.connection import FastConnection
from echotwist.fast.reactor import LeanReactor
from echotwist.sockets.options import queued
from echotwist.sockets.packetinfo import nameFrom
from echotwist.streams.counted import CountedEcho
from echotwist.streams.factory import EchoFactory
from echotwist.streams.interfaces import IBareConnections
from echotwist.streams.port import StreamPort


class BareConnection:
    """
    The object that stands for such a connection in the reactor.

    :param fd: the connection's descriptor.
    :param name: the ``struct sockaddr`` of its peer.
    :param owner: the bare connections of the same port.
    """

    __slots__ = ("fd", "name", "owner")

    def __init__(self, fd: int, name: bytes, owner: BareConnections) -> None:
        self.fd = fd
        self.name = name
        self.owner = owner

    def fileno(self) -> int:
        """
        Return its descriptor; -1 when it is closed, or belongs to another object.
        """
        return self.fd

    def logPrefix(self) -> str:
        """
        Return the log prefix of its events.
        """
        return f"{CountedEcho.__name__},-,{self.owner.clientOf(self.name)[0]}"

    def doRead(self) -> None:
        """
        Echo the bytes that have come, or make the objects if an echo is not enough.
        """
        rest = messages.echo(self.fd)
        if rest is not None:
            self.owner.goOn(self, *rest)
        else:
            self.owner.echoes(self.fd)

    def doUnusual(self, data: bytes | None, outcome: Any) -> None:
        """
        Take over where :func:`messages.echo` gave up, see :meth:`FastConnection.doUnusual`.
        """
        self.owner.goOn(self, data, outcome)

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor stopped watching it, after an error or because the reactor stops.
        """
        self.doRead()
        if self.fd != -1:
            self.owner.make(self).transport.connectionLost(reason)


@implementer(IBareConnections)
class BareConnections:
    """
    The bare connections of a port.

    :param port: the port that accepts them.
    :param factory: the factory of the port.
    :param reactor: the reactor of the port.
    :cvar hasForked: another process may have their descriptors too; then the kernel
        goes on watching them when we have closed ours.
    """

    hasForked = False

    def __init__(self, port: StreamPort, factory: EchoFactory, reactor: LeanReactor) -> None:
        self._port = port
        self._factory = factory
        self._limits, self._counters = factory.limits, factory.counters
        self._reactor = reactor
        self._acceptFrom = acceptor()
        self._watch, self._isWatching = factory.watch, factory.isWatching
        self._open = 0
        #: The descriptors that may have echoed since the last check, each with the bytes that
        #: would wait there if its peer had taken none since then.
        self._talking: dict[int, int] = {}
        factory.bare.append(self)

    def __len__(self) -> int:
        return self._open

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
        host = self.clientOf(name)[0] if limits.byPeer else ""
        if limits.refusal(host) or not self._factory.takesBare:
            return None
        # Where stalls are checked already, they are checked for this connection too.
        function = messages.echo if self._isWatching() else self.first
        try:
            self._reactor.addUsualReader(fd, BareConnection(fd, name, self), function)
        except OSError:
            return None
        if function is messages.echo:
            self._talking[fd] = 0
        self._open += 1
        counters = self._counters
        counters.connections += 1
        counters.active += 1
        limits.opened(host)
        return True

    def first(self, fd: int) -> tuple[bytes | None, Any] | None:
        """
        Echo for the first time.
        """
        rest = messages.echo(fd)
        if rest is None:
            self.echoes(fd)
        return rest

    def echoes(self, fd: int) -> None:
        """
        Check from time to time whether the peer takes its bytes.
        """
        self._talking.setdefault(fd, 0)
        self._watch()
        self._reactor.changeUsual(fd, messages.echo)

    def goOn(self, bare: BareConnection, data: bytes | None, outcome: Any) -> None:
        """
        Make the objects of a connection that needs more than an echo, or end it.
        """
        if data:
            isOver = False
        elif data is None:
            if outcome == errno.EAGAIN:
                return
            isOver = outcome == errno.ECONNRESET
        else:
            isOver = not queued(bare)
        if isOver:
            self._end(bare)
        else:
            echo = self.make(bare)
            self._reactor.finish(echo.transport.fileno(), (data, outcome))

    def _end(self, bare: BareConnection) -> None:
        if self.hasForked:
            self._reactor.removeReader(bare)
        fd = self._leave(bare)
        self._reactor.forget(fd)
        try:
            os.close(fd)
        except OSError as error:
            self._port.failed("close", error)

    def _leave(self, bare: BareConnection) -> int:
        """
        Take a connection out of our counts: it is closed next, or another object takes it.
        """
        fd, bare.fd = bare.fd, -1
        if fd in self._talking:
            self._settle(fd)
            del self._talking[fd]
        self._open -= 1
        self._counters.active -= 1
        limits = self._limits
        limits.closed(self.clientOf(bare.name)[0] if limits.byPeer else "")
        return fd

    def clientOf(self, name: bytes) -> tuple[Any, ...]:
        """
        Return the peer's address as a connection keeps it.
        """
        return self._port.clientOf(nameFrom(name))

    def make(self, bare: BareConnection) -> CountedEcho:
        """
        Make the objects of a connection, which take it over.
        """
        fd, port, factory = self._leave(bare), self._port, self._factory
        stream = socket.socket(port.addressFamily, socket.SOCK_STREAM, 0, fd)
        self._counters.connections -= 1  # The echo counts itself.
        client = self.clientOf(bare.name)
        echo = factory.echo(client[0])
        connection = port.transported(stream, echo, client)
        self._reactor.replaceReader(connection)
        echo.makeConnection(connection)
        if queued(connection):
            factory.wrote(echo)
        return echo

    def settle(self) -> None:
        """
        Count the bytes echoed since the last time.
        """
        for fd in self._talking:
            self._settle(fd)

    def _settle(self, fd: int) -> None:
        size = messages.taken(fd)
        self._talking[fd] += size
        self._counters.receivedBytes += size
        self._counters.sentBytes += size

    def makeWaiting(self) -> bool:
        """
        Make the objects of the connections whose peers have bytes to take, and took none
        since the last check: from then on the factory watches them for a stall.
        """
        self.settle()
        known = self._all() if self._talking else ()
        for bare in [one for one in known if one.fd in self._talking]:
            before, waiting = self._talking[bare.fd], queued(bare)
            if waiting and waiting >= before:
                self.make(bare)
            elif before:
                self._talking[bare.fd] = waiting
            else:
                del self._talking[bare.fd]
                self._reactor.changeUsual(bare.fd, self.first)
        self._talking = dict(self._talking)  # a dict that has shrunk keeps its memory
        return bool(self._talking)

    def makeAll(self) -> None:
        """
        Make the objects of all connections.
        """
        for bare in self._all():
            self.make(bare)

    def _all(self) -> list[BareConnection]:
        readers = self._reactor.getReaders() if self._open else []
        return [one for one in readers if isinstance(one, BareConnection) and one.owner is self]


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


os.register_at_fork(after_in_parent=partial(setattr, BareConnections, "hasForked", True))
