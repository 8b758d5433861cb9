"""
Measure the progress of a connection, in bytes.
"""

from __future__ import annotations

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import ITransport

from echotwist.sockets.options import queued, unread
from echotwist.streams.counted import CountedEcho
from echotwist.streams.wrappers import lowestTransport


def written(echo: CountedEcho) -> int:
    """
    Return how many bytes have gone out to the peer, or wait to go out; with TLS, those
    that TLS made.
    """
    sent: int = getattr(echo.transport, "sent", echo.sent)
    return sent


def unsent(transport: ITransport) -> int:
    """
    Return how many bytes wait for the peer, in the transport and in the kernel;
    0 for a transport that does not tell.
    """
    connection = lowestTransport(transport)
    if not isinstance(connection, FileDescriptor):
        return 0
    waiting = len(connection.dataBuffer) - connection.offset + connection._tempDataLen
    # A full send buffer of the kernel takes more only when a third of it is free: at
    # 10 kB/s that may take minutes.
    return waiting + queued(connection)


def pending(transport: ITransport) -> int:
    """
    Return how many bytes wait for us: after a pause of the machine a check may come
    before we could read.  Bytes held back on purpose count too.
    """
    connection = lowestTransport(transport)
    held: int = getattr(transport, "held", 0)
    return held + (unread(connection) if isinstance(connection, FileDescriptor) else 0)
