"""
The object that stands for a bare connection in the reactor, while it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from echotwist.streams.counted import CountedEcho

if TYPE_CHECKING:
    from echotwist.fast.bare import BareConnections


class BareConnection:
    """
    The reader of a bare connection, made for an event that is unusual.

    :param fd: the connection's descriptor.
    :param name: the ``struct sockaddr`` of its peer.
    :param owner: the bare connections of the same port.
    """

    __slots__ = ("_fd", "name", "owner")

    def __init__(self, fd: int, name: bytes, owner: BareConnections) -> None:
        self._fd = fd
        self.name = name
        self.owner = owner

    def fileno(self) -> int:
        """
        Return its descriptor; -1 when it is closed, or belongs to another object.
        """
        return self._fd if self.owner.names.get(self._fd) is self.name else -1

    def logPrefix(self) -> str:
        """
        Return the log prefix of its events.
        """
        return f"{CountedEcho.__name__},-,{self.owner.clientOf(self.name)[0]}"

    def doRead(self) -> None:
        """
        Echo the bytes that have come, or make the objects if an echo is not enough.
        """
        rest = self.owner.echo(self._fd)
        if rest is not None:
            self.owner.goOn(self, *rest)

    def doUnusual(self, data: bytes | None, outcome: Any) -> None:
        """
        Take over where the echo function gave up.
        """
        self.owner.goOn(self, data, outcome)

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor stopped watching it, after an error or because the reactor stops.
        """
        if self.fileno() != -1:
            self.doRead()
        if self.fileno() != -1:
            self.owner.make(self._fd).transport.connectionLost(reason)
