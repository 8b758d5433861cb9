"""
Raw IP packets, from and to a host of :mod:`tests.support.namespaces`.
"""

from __future__ import annotations

import socket

from tests.support.live import PATIENCE
from tests.support.namespaces import Namespace

#: For experiments (RFC 3692); nobody's.
PROTOCOL = 253

_SO_RCVBUFFORCE = 33


class Raw:
    """
    A raw socket that speaks with one host, or else hears all.

    :param where: its own host.
    :param host: the host that it speaks with.
    :param source: its own address.
    """

    def __init__(self, where: Namespace, host: str, source: str = "") -> None:
        self.isV6 = ":" in host
        family = socket.AF_INET6 if self.isV6 else socket.AF_INET
        with where.inside():
            self.socket = socket.socket(family, socket.SOCK_RAW, PROTOCOL)
            self.socket.bind((source, 0))
            if host not in ("0.0.0.0", "::"):
                # Python takes no scope from the text alone.
                place = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)[0][4]
                self.socket.connect(place)
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 2**26)
        self.heard = 0

    def send(self, payload: bytes) -> None:
        """
        Send a packet.
        """
        self.socket.send(payload)

    def receive(self) -> tuple[bytes, bytes]:
        """
        Take a packet.

        :return: its IP header, if it comes with it, and its payload.
        """
        packet = self.socket.recv(2**17)
        size = 0 if self.isV6 else 4 * (packet[0] & 15)
        return packet[:size], packet[size:]

    def asks(self, payload: bytes, patience: float = 10.0) -> bool:
        """
        Tell whether a packet comes back, with just its bytes.
        """
        self.socket.settimeout(patience)
        self.send(payload)
        try:
            return self.receive()[1] == payload
        except TimeoutError:
            return False

    def count(self) -> int:
        """
        Count what it has heard so far.
        """
        self.socket.setblocking(False)
        try:
            while True:
                self.receive()
                self.heard += 1
        except BlockingIOError:
            return self.heard

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
