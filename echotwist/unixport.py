"""
Echo of UNIX datagrams.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.address import UNIXAddress

from echotwist import packetinfo
from echotwist.addresses import nameText
from echotwist.datagram import DatagramPort
from echotwist.kernel import queued, unread
from echotwist.unixdiag import unreading

#: Parts of our buffer: when so many are full of what nobody reads, it is found
#: out who does not.
SHARES = 8

#: Seconds until it is found out again.
LOOK = 0.1


class UnixDatagramPort(DatagramPort):
    """
    A port for UNIX datagrams: peers are the names that they are bound to.

    What a peer leaves unread fills its own queue.  But if it has connected
    itself to us, it fills our buffer, and in the end nobody could be answered.
    """

    reactor: Any
    _room: bytearray
    _unreading: frozenset[bytes] = frozenset()
    _lookedAt = (0.0, 0)

    def _receive(self) -> packetinfo.Received:
        # The size of the next; but of a socket that workers share, another may
        # take that one meanwhile.
        if unread(self.socket) > len(self._room):
            self._room = bytearray(unread(self.socket))
        size, _, flags, peer = self.socket.recvmsg_into([self._room])
        if flags & socket.MSG_TRUNC:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        return bytes(memoryview(self._room)[:size]), peer, [], False

    def write(self, datagram: bytes, addr: Any = None) -> None:
        """
        Send a datagram; one that cannot be sent is counted and forgotten.

        :param addr: the name in the form that ``doRead`` gave it.
        """
        waiting = queued(self.socket)
        if waiting > self._share and self._isUnread(datagram, addr, waiting):
            self._journal.refused("peer reads nothing")
        else:
            super().write(datagram, addr)

    def _isUnread(self, datagram: bytes, addr: Any, waiting: int) -> bool:
        # Nobody can see whether empty ones are read.
        return not datagram or os.fsencode(addr) in self._whoReadsNothing(waiting)

    def _whoReadsNothing(self, waiting: int) -> frozenset[bytes]:
        now = self.reactor.seconds()
        when, then = self._lookedAt
        if now - when > LOOK or waiting - then > self._share:
            self._unreading = unreading(self.socket)
            self._lookedAt = (now, waiting)
        return self._unreading

    def _bindSocket(self) -> None:
        self.socket, self._preexistingSocket = self._preexistingSocket, None
        # Which is what a peer may send at the most; see openUnixDatagram.
        buffer = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        self._share = buffer // SHARES
        self._room = bytearray(buffer)
        self._realPortNumber = nameText(self.socket.getsockname())  # type: ignore[assignment]
        self.connected = 1
        self.fileno = self.socket.fileno  # type: ignore[method-assign]

    def getHost(self) -> Any:
        """
        Give our own address.
        """
        return UNIXAddress(self.socket.getsockname())
