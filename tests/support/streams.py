"""
Connections to a stream service, as a client has them.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress
from threading import Lock
from typing import Any

from OpenSSL import SSL

from tests.support.live import PATIENCE, Server

#: Bytes in one record of TLS, at most (RFC 8446, section 5.1).
RECORD = 2**14


class Stream(socket.socket):
    """
    A connection that can be ended in all the ways that there are.
    """

    def endSending(self) -> None:
        """
        Say that no more will come, and go on reading.
        """
        self.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """
        End it with RST, where there is such a thing.
        """
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


class TLSStream(Stream):
    """
    The same through TLS.

    Unlike that of :mod:`ssl` it can say that no more will come
    (``close_notify``), and go on reading.  Two threads may use it: one sends,
    the other receives.
    """

    _tls: SSL.Connection

    def begin(self, context: SSL.Context) -> None:
        """
        Shake hands.
        """
        self._using, self._sending = Lock(), Lock()
        self._left = b""
        self._tls = SSL.Connection(context, None)
        self._tls.set_connect_state()
        while not self._shaken():
            self._receive()

    def _shaken(self) -> bool:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            return False
        finally:
            self._flush()
        return True

    def _receive(self) -> None:
        data = super().recv(2**16)
        if not data:
            raise ConnectionAbortedError("cut off: no close_notify")
        with self._using:
            self._tls.bio_write(data)

    def _flush(self, flags: int = 0) -> None:
        """
        Send what is ready to go; what the socket does not take stays ready.

        :param flags: of send(2).
        """
        with self._sending:
            with self._using:
                while chunk := self._ready():
                    self._left += chunk
            while self._left:
                self._left = self._left[super().send(self._left, flags) :]

    def _ready(self) -> bytes:
        try:
            return self._tls.bio_read(2**16)
        except SSL.WantReadError:
            return b""

    def send(self, data: Any, flags: int = 0, /) -> int:
        """
        Send a record.

        :raise TimeoutError: for one of which the service lacks a part.
        """
        record = bytes(memoryview(data)[:RECORD])
        self._flush()
        with self._using:
            self._tls.send(record)
        self._flush(flags)
        return len(record)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """
        Send all of it.
        """
        for start in range(0, len(data), RECORD):
            self.send(data[start : start + RECORD])

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """
        Receive what there is, or the end.

        :raise ConnectionAbortedError: for an end that could be an attacker's.
        """
        while True:
            try:
                data = self._decrypted(size)
            except SSL.ZeroReturnError:
                return b""
            if data:
                return data
            self._receive()

    def _decrypted(self, size: int) -> bytes:
        """
        Return what has come, of as many records as that may be.

        :raise SSL.ZeroReturnError: nothing will come any more.
        """
        data = b""
        with self._using:
            try:
                while len(data) < size:
                    data += self._tls.recv(min(size - len(data), RECORD))
            except SSL.WantReadError:
                pass
            except SSL.ZeroReturnError:
                if not data:
                    raise
        return data

    def endSending(self) -> None:
        """
        Send ``close_notify``.
        """
        with self._using:
            self._tls.shutdown()
        self._flush()


#: A TCP port of this machine, or whatever else makes a connection.
Door = int | Callable[[], Stream]


def connected(door: Door, host: str = "127.0.0.1") -> Stream:
    """
    Connect to a stream server.
    """
    if callable(door):
        return door()
    return asStream(socket.create_connection((host, door), timeout=PATIENCE))


def asStream(plain: socket.socket, kind: type[Stream] = Stream) -> Stream:
    """
    Give a connected socket the ways to end it.
    """
    stream = kind(fileno=plain.detach())
    stream.settimeout(PATIENCE)
    return stream


def isServed(stream: Stream) -> bool:
    """
    Tell whether a connection is echoed on, or was reset.
    """
    try:
        stream.sendall(b"x")
        return stream.recv(1) == b"x"
    except ConnectionError:
        return False


def serve(server: Server, stack: ExitStack, count: int) -> list[Stream]:
    """
    Connect so often, and give those connections that are served.
    """
    streams = []
    for _ in range(count):
        with suppress(ConnectionError):  # which may be there before connect(2) is done
            streams.append(stack.enter_context(connected(server.door)))
    return [stream for stream in streams if isServed(stream)]
