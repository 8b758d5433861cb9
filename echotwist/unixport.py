"""
Echo of UNIX datagrams.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import UNIXAddress

from echotwist import packetinfo
from echotwist.addresses import nameText
from echotwist.datagram import LARGEST, DatagramPort
from echotwist.kernel import unread


class UnixDatagramPort(DatagramPort):
    """
    A port for UNIX datagrams: peers are the names that they are bound to.
    """

    def _receive(self) -> packetinfo.Received:
        # The size of the next; it may be more than fits into any of the internet.
        largest = max(unread(self.socket), LARGEST)
        datagram, _, _, peer = self.socket.recvmsg(largest)
        return datagram, peer, [], False

    def _bindSocket(self) -> None:
        self.socket, self._preexistingSocket = self._preexistingSocket, None
        self._realPortNumber = nameText(self.socket.getsockname())  # type: ignore[assignment]
        self.connected = 1
        self.fileno = self.socket.fileno  # type: ignore[method-assign]

    def getHost(self) -> Any:
        """
        Give our own address.
        """
        return UNIXAddress(self.socket.getsockname())
