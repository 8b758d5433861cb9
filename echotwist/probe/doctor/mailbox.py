"""
Sockets for datagrams to a service.
"""

from __future__ import annotations

import errno
import socket
from time import monotonic
from typing import Any

from echotwist.probe.doctor.findings import GONE, NotApplicable, Wrong, datagramsText
from echotwist.probe.places import Place
from echotwist.probe.waiting import Readiness
from echotwist.reactors import IReactor
from echotwist.sockets.errors import inWords


class Mailbox:
    """
    A socket for datagrams.

    :param one: the socket.
    :param place: the address of the service.
    """

    def __init__(self, reactor: IReactor, one: socket.socket, place: Place) -> None:
        self._socket = one
        self._place = place
        self._ready = Readiness(reactor, one)

    @property
    def place(self) -> Place:
        """
        The address of the service.
        """
        return self._place

    def send(self, data: bytes) -> None:
        """
        Send a datagram; one that the kernel has no room for counts as lost.

        :raise Wrong: ICMP, or the kernel, says that nothing listens there.
        :raise NotApplicable: this host cannot send such a datagram.
        """
        try:
            self._send(data)
        except (BlockingIOError, ConnectionRefusedError):
            # The socket reports an error of the datagram before.
            self._retry(data)
        except OSError as error:
            raise self._unsent(error, data) from None

    def _retry(self, data: bytes) -> None:
        try:
            self._send(data)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._unsent(error, data) from None

    def _send(self, data: bytes) -> None:
        try:
            self._socket.getpeername()
        except OSError:
            self._socket.sendto(data, self._place.address)
        else:
            self._socket.send(data)

    def _unsent(self, error: OSError, data: bytes) -> Exception:
        if isinstance(error, ConnectionError):
            return Wrong(f"nothing listens there: {inWords(error)}", GONE)
        if error.errno == errno.EMSGSIZE:
            return NotApplicable(f"this host sends no datagram of {len(data):,} bytes")
        return NotApplicable(f"it cannot be sent: {inWords(error)}")

    async def receive(self, seconds: float) -> tuple[bytes, Any] | None:
        """
        Return the next datagram and its source address; ``None`` if none comes in time.

        :raise Wrong: ICMP, or the kernel, says that nothing listens there.
        """
        deadline = monotonic() + seconds
        while (left := deadline - monotonic()) > 0 and await self._ready.readable(left):
            try:
                return self._socket.recvfrom(2**17)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Wrong(f"nothing listens there: {inWords(error)}", GONE) from None
        return None

    async def ask(self, data: bytes, tries: int, seconds: float) -> bytes:
        """
        Send a datagram again and again until a reply comes.

        :param seconds: the time for all tries together.
        :raise Wrong: no reply came.
        """
        for _ in range(tries):
            self.send(data)
            if (found := await self.receive(seconds / tries)) is not None:
                return found[0]
        raise Wrong(f"no reply to {datagramsText(tries, len(data))}, in {seconds:g} s")

    def close(self) -> None:
        """
        Close the socket.
        """
        self._ready.forget()
        self._socket.close()
