"""
The echoes that the documentation of asyncio and of Twisted shows, over TCP and UDP.

``documented.py asyncio|twisted PORT``
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any


class StreamEcho(asyncio.Protocol):
    """
    The echo of asyncio's documentation, which does not close after the first answer here.
    """

    def connection_made(self, transport: Any) -> None:
        """
        Keep the transport.
        """
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """
        Write it back.
        """
        self.transport.write(data)


class DatagramEcho(asyncio.DatagramProtocol):
    """
    The same for datagrams.
    """

    def connection_made(self, transport: Any) -> None:
        """
        Keep the transport.
        """
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """
        Send it back.
        """
        self.transport.sendto(data, addr)


async def serveByAsyncio(port: int) -> None:
    """
    Serve until killed.
    """
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(DatagramEcho, local_addr=("0.0.0.0", port))
    server = await loop.create_server(StreamEcho, "0.0.0.0", port)
    await server.serve_forever()


def serveByTwisted(port: int) -> None:
    """
    Serve until killed.
    """
    from twisted.internet import reactor as installed
    from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

    class Echo(Protocol):
        def dataReceived(self, data: bytes) -> None:
            assert self.transport is not None
            self.transport.write(data)

    class EchoUDP(DatagramProtocol):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            assert self.transport is not None
            self.transport.write(datagram, addr)

    reactor: Any = installed
    reactor.listenUDP(port, EchoUDP())
    reactor.listenTCP(port, Factory.forProtocol(Echo))
    reactor.run()


if __name__ == "__main__":
    if sys.argv[1] == "asyncio":
        asyncio.run(serveByAsyncio(int(sys.argv[2])))
    else:
        serveByTwisted(int(sys.argv[2]))
