"""
An echo as one writes it with asyncio, on its own loop or on uvloop's.

``loop.py asyncio|uvloop tcp|udp``
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast


class Echo(asyncio.Protocol):
    """
    What comes in goes out.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Keep the transport.
        """
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """
        Write it back.
        """
        self.transport.write(data)


class DatagramEcho(asyncio.DatagramProtocol):
    """
    The same for datagrams.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Keep the transport.
        """
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """
        Send it back.
        """
        self.transport.sendto(data, addr)


async def port(kind: str) -> int:
    """
    Listen.

    :return: the port.
    """
    loop = asyncio.get_running_loop()
    address = ("127.0.0.1", 0)
    if kind == "tcp":
        server = await loop.create_server(Echo, *address)
        return int(server.sockets[0].getsockname()[1])
    transport, _ = await loop.create_datagram_endpoint(DatagramEcho, local_addr=address)
    return int(transport.get_extra_info("sockname")[1])


async def main(kind: str) -> None:
    """
    Serve until killed.
    """
    print("port", await port(kind), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1] == "uvloop":
        import uvloop

        uvloop.run(main(sys.argv[2]))
    else:
        asyncio.run(main(sys.argv[2]))
