"""
Connections to a service, over TCP and UNIX sockets.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import suppress
from time import perf_counter

from echotwist.probe.doctor.findings import GONE, Wrong, same
from echotwist.probe.places import Place
from echotwist.probe.waiting import Readiness, pause
from echotwist.reactors import IReactor
from echotwist.sockets.errors import inWords

#: Bytes to read or write at once.
AT_ONCE = 2**18


class Connection:
    """
    A connection, each of whose operations has a time limit.

    :param one: its socket, which is not connected yet.
    :param patience: seconds in which the service must do something.
    :ivar patience: the same.
    :ivar connected: seconds that the connect took.
    """

    def __init__(self, reactor: IReactor, one: socket.socket, patience: float) -> None:
        self._reactor = reactor
        self._socket = one
        self._ready = Readiness(reactor, one)
        self.patience = patience
        self.connected = 0.0

    async def open(self, place: Place) -> None:
        """
        Connect.

        :raise Wrong: the service accepts no connection.
        """
        began = perf_counter()
        while (error := self._socket.connect_ex(place.address)) == errno.EAGAIN:
            # The backlog of a UNIX socket is full (unix(7)).
            if perf_counter() - began > self.patience:
                break
            await pause(self._reactor, 0.01)
        if error == errno.EINPROGRESS:
            if not await self._ready.writable(self.patience):
                raise Wrong(f"no connection in {self.patience:g} s")
            error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise Wrong(f"no connection: {inWords(OSError(error, os.strerror(error)))}", GONE)
        self.connected = perf_counter() - began

    def hold(self) -> None:
        """
        Send the last bytes and the FIN in one packet, where the system can: the service then
        finds both at once (``TCP_CORK`` of tcp(7)).
        """
        with suppress(AttributeError, OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)

    async def send(self, data: bytes) -> None:
        """
        Send all bytes.

        :raise Wrong: the service takes no more.
        """
        if (taken := await self.offer(data, self.patience)) < len(data):
            raise Wrong(f"it took {taken:,} of {len(data):,} bytes, and no more")

    async def offer(self, data: bytes, seconds: float) -> int:
        """
        Send as much as the service takes, until it takes nothing for some seconds.

        :return: how many bytes it took.
        :raise Wrong: the connection is gone.
        """
        view, taken = memoryview(data), 0
        while taken < len(data):
            try:
                taken += self._socket.send(view[taken : taken + AT_ONCE])
            except BlockingIOError:
                pass
            except OSError as error:
                raise self._lost(error) from None
            if taken < len(data) and not await self._ready.writable(seconds):
                break
        return taken

    async def some(self, limit: int = AT_ONCE) -> bytes:
        """
        Return the next bytes; empty at the end of the stream.

        :raise Wrong: nothing comes in time, or the connection is gone.
        """
        while True:
            if not await self._ready.readable(self.patience):
                raise Wrong(f"nothing came for {self.patience:g} s")
            try:
                return self._socket.recv(limit)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._lost(error) from None

    async def receive(self, count: int, before: bytes = b"") -> bytes:
        """
        Return this many bytes, or fewer if the stream ends before.

        :param before: bytes that came already.
        :raise Wrong: the rest does not come.
        """
        got = bytearray(before)
        try:
            while len(got) < count and (data := await self.some(min(AT_ONCE, count - len(got)))):
                got += data
        except Wrong as error:
            raise Wrong(f"{error}, after {len(got):,} of {count:,} bytes") from None
        return bytes(got)

    async def ask(self, data: bytes) -> None:
        """
        Send some bytes, and check that they come back.

        :raise Wrong: it does not.
        """
        await self.send(data)
        same(data, await self.receive(len(data)))

    async def end(self) -> None:
        """
        Check that the service ends the connection, and sends nothing before.

        :raise Wrong: it does not.
        """
        try:
            more = await self.some()
        except Wrong as error:
            raise Wrong(f"it does not close its side: {error}") from None
        if more:
            raise Wrong(f"it sends {len(more):,} bytes more than it got")

    def narrow(self, count: int) -> None:
        """
        Set a small receive buffer; call it before :meth:`open`.
        """
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, count)

    def delayAcknowledgements(self) -> None:
        """
        Delay acknowledgements until the next data, as interactive clients do (tcp(7)).
        """
        if self._socket.family != socket.AF_UNIX and hasattr(socket, "TCP_QUICKACK"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)

    async def finish(self) -> None:
        """
        Half-close.
        """
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self._lost(error) from None

    def reset(self) -> None:
        """
        Reset the connection, as if the client had died.
        """
        # ``struct linger``: on, 0 seconds (socket(7)).
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """
        Close the connection.
        """
        self._ready.forget()
        self._socket.close()

    def _lost(self, error: OSError) -> Wrong:
        if isinstance(error, ConnectionError):
            return Wrong(f"the service reset the connection: {inWords(error)}")
        return Wrong(inWords(error))
