"""
An echo behind something that forgets flows, in one: what a NAT or a load balancer does.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from threading import Thread
from typing import Any

from tests.support.live import PATIENCE


class Forgetful:
    """
    Echo over UDP and TCP, until a flow was silent for so long.

    :param keeps: seconds.
    :param ending: what happens to a connection then: ``silence``, ``reset`` or ``close``; or
        ``late``, a reset of one that comes back.
    :param loses: of so many datagrams one is lost, each way.
    :ivar flows: how many there were, by the kind of target.
    """

    def __init__(self, keeps: float, ending: str = "silence", loses: int = 0) -> None:
        self.keeps, self.ending, self.loses = keeps, ending, loses
        self.flows = {"udp": 0, "tcp": 0}
        self._came = 0
        self._heard: dict[Any, float] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", self.port))
        for one in (self._listener, self._datagrams):
            one.setblocking(False)
            self._selector.register(one, selectors.EVENT_READ)
        self._connections: set[socket.socket] = set()
        self._ends = False
        self._thread = Thread(target=self._run)

    def _run(self) -> None:
        while not self._ends:
            for key, _ in self._selector.select(0.005):
                if key.fileobj is self._datagrams:
                    self._answer()
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    self._echo(key.fileobj)  # type: ignore[arg-type]
            for one in [one for one in self._connections if self._isForgotten(one)]:
                if self.ending in ("reset", "close"):
                    self._end(one, self.ending == "reset")

    def _isForgotten(self, flow: Any) -> bool:
        return time.monotonic() - self._heard[flow] >= self.keeps

    def _answer(self) -> None:
        data, peer = self._datagrams.recvfrom(2**16)
        if peer not in self._heard:
            self.flows["udp"] += 1
            self._heard[peer] = time.monotonic()
        if self._isForgotten(peer):
            return
        for _ in range(2):
            self._came += 1
            if self.loses and not self._came % self.loses:
                return
        self._heard[peer] = time.monotonic()
        self._datagrams.sendto(data, peer)

    def _accept(self) -> None:
        one, _ = self._listener.accept()
        self.flows["tcp"] += 1
        self._connections.add(one)
        self._heard[one] = time.monotonic()
        self._selector.register(one, selectors.EVENT_READ)

    def _echo(self, one: socket.socket) -> None:
        isForgotten = self._isForgotten(one)
        try:
            data = one.recv(2**16)
        except ConnectionError:
            data = b""
        if not data:
            self._end(one, False)
        elif not isForgotten:
            self._heard[one] = time.monotonic()
            one.sendall(data)
        elif self.ending == "late":
            self._end(one, True)

    def _end(self, one: socket.socket, isReset: bool) -> None:
        if isReset:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._selector.unregister(one)
        self._connections.discard(one)
        one.close()

    def __enter__(self) -> Forgetful:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._thread.join(PATIENCE)
        for one in (*self._connections, self._listener, self._datagrams):
            one.close()
        self._selector.close()
