"""
Echo of raw IP packets, below TCP and UDP.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys

from attrs import evolve

from echotwist.datagrams.port import DatagramPort
from echotwist.sockets import packetinfo
from echotwist.sockets.addresses import Address
from echotwist.sockets.errors import ListenError
from echotwist.sockets.opening import opening

#: The mark of replies inside this machine (``SO_MARK``, socket(7)), ours and
#: those of other echo services on it.  Kubernetes, Docker and VPNs do not use
#: these bits.
MARK = 0x3000

#: ``SO_ATTACH_FILTER`` of socket(7), for which Python has no name.
_ATTACH_FILTER = 26

#: A filter program (``linux/filter.h``): load the mark; mask out bits that a firewall
#: has added; if the mark is ours, go on, else skip one instruction; drop the packet;
#: accept all of it.
_FILTER = [
    (0x20, 0, 0, 0xFFFFF000 + 20),
    (0x54, 0, 0, MARK),
    (0x15, 0, 1, MARK),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFFFFFF),
]

_HINT = "raw sockets need root or CAP_NET_RAW"


def openRaw(address: Address, protocol: int) -> socket.socket:
    """
    Open a raw socket for one protocol, which does not receive our own replies.

    :raise ListenError: nothing is left open then.
    """
    place = f"{protocol} {address.inWords()}"
    if sys.platform != "linux":
        raise ListenError("raw", place, OSError("raw IP is served on Linux only"))
    single = evolve(address, dual=False)
    with opening(single, socket.SOCK_RAW, 0, False, protocol, place, _HINT) as listener:
        _ignoreOwn(listener)
        packetinfo.ask(listener)
        listener.bind(address.withPort(0))
        packetinfo.answerFromAny(listener)
    return listener


def _ignoreOwn(listener: socket.socket) -> None:
    """
    Filter out our own replies, so that none that stays on this machine is echoed again:
    a raw socket gets a copy of each packet of its protocol.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
    steps = b"".join(struct.pack("HBBI", *step) for step in _FILTER)
    program = ctypes.create_string_buffer(steps)
    where = struct.pack("HP", len(_FILTER), ctypes.addressof(program))
    listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, where)


class RawPort(DatagramPort):
    """
    A port for raw IP packets: the payload of each is a datagram.
    """

    def _receive(self) -> packetinfo.Received:
        packet, peer, answering, toGroup = super()._receive()
        if self.addressFamily == socket.AF_INET:
            # The IP header comes first; IHL is its length in words, with options (RFC 791, 3.1).
            packet = packet[4 * (packet[0] & 0x0F) :]
        return packet, peer, answering, toGroup

    def restore(self) -> None:
        """
        Raise an error: the kernel has lost the protocol, and no call can set it again.

        :raise OSError: always.
        """
        raise OSError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
