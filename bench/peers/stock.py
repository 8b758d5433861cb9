"""
An echo as one writes it with Twisted's own parts, on its default reactor.

``stock.py tcp|udp``
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.protocols.wire import Echo

reactor: Any = installed


class DatagramEcho(DatagramProtocol):
    """
    The handler that every tutorial shows.
    """

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        Write it back.
        """
        assert self.transport is not None
        self.transport.write(datagram, addr)


if __name__ == "__main__":
    if sys.argv[1] == "tcp":
        port = reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
    else:
        # By default it cuts what is longer than 8,192 bytes.
        port = reactor.listenUDP(0, DatagramEcho(), interface="127.0.0.1", maxPacketSize=65536)
    print("port", port.getHost().port, flush=True)
    reactor.run()
