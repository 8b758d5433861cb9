"""
The UDP port, which is also the base of the other datagram ports.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet import udp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from echotwist.datagrams.guard import IDatagramGuard
from echotwist.recovery import RecoveringPort
from echotwist.sockets import packetinfo
from echotwist.sockets.addresses import SocketName, placeOf
from echotwist.telemetry.log import RateLimitedLog

#: Bytes; more than any datagram holds (65,507 over IPv4, 65,527 over IPv6).
LARGEST = 65536

#: Bytes of the kernel's buffer that even the smallest datagram takes.
SMALLEST = 256


class DatagramPort(RecoveringPort, udp.Port):
    """
    A UDP port on a socket that is already bound.

    Replies that a protocol writes while it handles a datagram leave from the address
    that the datagram was sent to.  No error closes the port.

    :param listener: the socket, which this port takes over.
    :param protocol: handles the datagrams.
    :param guard: decides which datagrams the protocol gets.
    :param limitedLog: counts and logs refusals, and errors that do not close the port.
    :param reactor: the reactor that waits for datagrams.
    :ivar kind: the name of the transport: ``UDP``.
    """

    #: Datagrams handled in one go, before other sockets have their turn: at some 20 µs
    #: each, a stream waits for two turns at most.
    atOnce = 32

    _preexistingSocket: Any

    def __init__(
        self,
        listener: socket.socket,
        protocol: DatagramProtocol,
        guard: IDatagramGuard,
        limitedLog: RateLimitedLog,
        reactor: IReactorFDSet,
    ) -> None:
        host, port = placeOf(listener)
        super().__init__(port, protocol, interface=host, maxPacketSize=LARGEST, reactor=reactor)
        self._preexistingSocket = listener
        self.remember(listener, limitedLog.counters.transport)
        self._guard = guard
        self._limitedLog = limitedLog
        self._counters = limitedLog.counters
        self.kind = limitedLog.counters.transport
        self._answering: list[packetinfo.Control] = []

    def doRead(self) -> None:
        """
        Handle waiting datagrams.
        """
        if not self.handle(self.atOnce):
            self.examine()

    def handle(self, most: int) -> bool:
        """
        Handle up to so many waiting datagrams.

        :return: whether a datagram was waiting.
        """
        for number in range(most):
            if not self.handleNext():
                return number > 0
        return True

    def handleNext(self) -> bool:
        """
        Handle one datagram.

        :return: whether another may follow at once.
        """
        try:
            received = self._receive()
        except BlockingIOError:
            return False
        except OSError as error:
            self.failed("receive", error)
            return False
        self._handleOne(*received)
        return True

    def _receive(self) -> packetinfo.Received:
        return packetinfo.receive(self.socket, LARGEST)

    def _handleOne(
        self, datagram: bytes, peer: SocketName, answering: list[packetinfo.Control], toGroup: bool
    ) -> None:
        self._counters.receivedDatagrams += 1
        self._counters.receivedBytes += len(datagram)
        refusal = self._guard.refusal(peer, toGroup, datagram)
        if refusal:
            self._limitedLog.refused(refusal, peer)
            return
        self._answering = answering
        try:
            self.protocol.datagramReceived(datagram, peer)
        except Exception:
            self._limitedLog.broke("handle")
        self._answering = []

    def write(self, datagram: bytes, addr: SocketName | None = None) -> None:
        """
        Send a datagram; count and drop one that cannot be sent.

        :param addr: the address in the form that ``doRead`` gave it.
        """
        try:
            packetinfo.send(self.socket, datagram, self._answering, addr)
        except OSError as error:
            self.failed("send", error)
            return
        self._counters.sentDatagrams += 1
        self._counters.sentBytes += len(datagram)

    def handleRest(self) -> None:
        """
        Handle the datagrams that the kernel holds, before the port is closed.
        """
        room = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.handle(room // SMALLEST)

    def failed(self, call: str, error: OSError) -> None:
        """
        Note an error of the socket, and restore the socket if it lost its address.

        :param call: the action that failed, in a word: ``receive``.
        """
        self._limitedLog.failed(call, error)
        if call == "receive" and error.errno == errno.ECONNABORTED:
            self.renew()
        elif call == "send" and error.errno == errno.EPIPE:
            self.lose(error)

    def stopListening(self) -> Deferred[None] | None:
        """
        Close the port.

        :return: fires when that is done.
        """
        self.disconnecting = True
        stopped: Deferred[None] | None = super().stopListening()
        return stopped

    def connectionLost(self, reason: Failure | None = None) -> None:
        """
        Go on after an event that the reactor takes for the end; close when the service stops.
        """
        if not self.survives():
            super().connectionLost(reason)
