"""
Echo of UNIX datagrams.
"""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from time import monotonic
from typing import Any

from twisted.internet.address import UNIXAddress

from echotwist.datagrams.guard import UnixGuard, refusalToOwner
from echotwist.datagrams.port import DatagramPort
from echotwist.sockets import packetinfo
from echotwist.sockets.addresses import nameText
from echotwist.sockets.options import queued, unread
from echotwist.sockets.unixdiag import KNOWN_PEERS, Readers, tellsOwners
from echotwist.sockets.unixpeer import (
    ALL_KNOWN,
    CREDENTIALS_ROOM,
    LONGEST_NAME,
    OPENED,
    opened,
    senderOf,
)

#: When unread replies fill one in so many parts of our buffer, only peers that read
#: their replies get more...
BUFFER_SHARES = 4

#: ...and no reply takes more than one in so many parts of the rest.
REPLY_PARTS = 4


class UnixDatagramPort(DatagramPort):
    """
    A port for UNIX datagrams; a peer is known by the name that its socket is bound to.

    We send a reply with our own privileges, to the socket that the name leads to by then.
    So we reply only to a socket of the user who sent the datagram.

    Replies that a peer leaves unread fill our buffer, until there is no room to answer
    other peers.
    """

    #: Tells the time in seconds.
    clock = staticmethod(monotonic)

    _guard: UnixGuard
    _room: bytearray
    _readers: Readers
    _sender: int | None = None

    def doRead(self) -> None:
        """
        Handle waiting datagrams; stop after one whose peer had to be searched for.
        """
        searches = self._readers.searches
        for number in range(self.atOnce):
            if not self.handleNext():
                if not number:
                    self.examine()
                return
            if self._readers.searches != searches:
                return

    def _receive(self) -> packetinfo.Received:
        # The size of the next datagram; where workers share the socket, another worker
        # may take that one meanwhile.
        if unread(self.socket) > len(self._room):
            self._room = bytearray(unread(self.socket))
        size, control, flags, peer = self.socket.recvmsg_into([self._room], CREDENTIALS_ROOM)
        self._sender = senderOf(control)
        if flags & socket.MSG_TRUNC:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        return bytes(memoryview(self._room)[:size]), peer, [], False

    def failed(self, call: str, error: OSError) -> None:
        """
        Note an error; a peer causes each of them, when it closes or resets its socket.

        :param call: the action that failed, in a word: ``send``.
        """
        self._limitedLog.failed(call, error)

    def write(self, datagram: bytes, addr: Any = None) -> None:
        """
        Send a datagram; one that cannot be sent is counted and forgotten.

        :param addr: the name in the form that ``doRead`` gave it.
        """
        # Python reads up to the next NUL, but a name of the greatest length has none.
        name = os.fsencode(addr)[:LONGEST_NAME]
        isFile = not name.startswith(b"\0")
        fd = None
        try:
            fd = opened(name) if isFile else None
            refusal = self._refusalTo(name, fd) or self._refusal(len(datagram), name)
            if refusal:
                self._limitedLog.refused(refusal, addr)
            else:
                super().write(datagram, name if fd is None else f"{OPENED}/{fd}")
        except OSError as error:
            self._limitedLog.failed("send", error)
        finally:
            if fd is not None:
                os.close(fd)

    def _refusalTo(self, name: bytes, fd: int | None) -> str:
        """
        Return why the socket that a name leads to must not get the reply; empty if it may.

        :param fd: the descriptor of its file, unless the name is abstract.
        :raise OSError: there is no such socket.
        """
        sender = self._sender
        if sender is None and ALL_KNOWN:
            sender = self._readers.owner(name)
        if fd is not None:
            return self._guard.refusalTo(os.fstat(fd), sender) if self._hasProc else "no /proc"
        owner = self._readers.owner(name)
        if owner is None and tellsOwners(self.socket):
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return "unknown owner" if owner is None else refusalToOwner(owner, sender)

    def _refusal(self, size: int, name: bytes) -> str:
        """
        Return why a datagram must not be sent; an empty text if it may be.
        """
        waiting = queued(self.socket)
        if not waiting:
            self._hadEmpty.clear()
        if waiting <= self._share:
            if not size and len(self._hadEmpty) < KNOWN_PEERS:
                self._hadEmpty.add(name)
            return ""
        # The kernel shows neither an unread empty datagram nor those behind it.
        if not size or name in self._hadEmpty or not self._readers.hasRead(name):
            return "peer reads nothing"
        return "others read nothing" if size > (self._buffer - waiting) // REPLY_PARTS else ""

    def _bindSocket(self) -> None:
        self.socket, self._preexistingSocket = self._preexistingSocket, None
        # A peer may send at most as much; see openUnixDatagram.
        self._buffer = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        self._share = self._buffer // BUFFER_SHARES
        self._room = bytearray(self._buffer)
        self._readers = Readers(self.clock)
        self._hadEmpty: set[bytes] = set()
        self._hasProc = Path(OPENED).is_dir()
        self._realPortNumber = nameText(self.socket.getsockname())  # type: ignore[assignment]
        self.connected = 1
        self.fileno = self.socket.fileno  # type: ignore[method-assign]

    def getHost(self) -> UNIXAddress:
        """
        Return our own address.
        """
        return UNIXAddress(self.socket.getsockname())
