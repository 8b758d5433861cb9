"""
Receive many packets of a socket with one call: Linux's recvmmsg(2).

Python's ``recvmsg`` needs a call for each packet, and one more to find that no packet is
left; that takes a large part of the time of a probe.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

from echotwist.sockets.packetinfo import nameFrom

#: ``struct mmsghdr``: the address and its size, buffers and their count, control messages and
#: their size, flags, and the size of the packet; then the offsets of these sizes.
_HEADER = struct.Struct("@PIPNPNi0PI0P")
_NAMED, _TOLD, _SIZE = map(struct.calcsize, ("@P", "@PIPNP", "@PIPNPNi0P"))
#: ``struct iovec``: the start of a buffer, and its size.
_PIECE = struct.Struct("@PN")

#: Bytes for control messages, and for an address: ``struct sockaddr_un`` is the largest
#: (unix(7)).
_CONTROL, _NAME = 256, 112
#: The first bytes of IPv4 and IPv6 addresses.
_INTERNET = [struct.pack("@H", family) for family in (socket.AF_INET, socket.AF_INET6)]


def padded(layout: str) -> struct.Struct:
    """
    Make a layout of control messages as large as the buffer for those of one packet.
    """
    return struct.Struct(f"{layout}{_CONTROL - struct.calcsize(layout)}x")


class Receiver:
    """
    Buffers for some packets, and the call that fills them.

    :param count: packets of a call.
    :param size: bytes of a packet; the rest of a larger packet is lost.
    :param flags: the flags of the call.
    :ivar told: how many bytes of control messages each packet has.
    """

    def __init__(self, count: int, size: int, flags: int = 0) -> None:
        # A ctypes function with declared argument types takes twice as long to call.
        self._call = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._count, self._flags = count, flags
        pieces = count * _HEADER.size
        names = pieces + count * _PIECE.size
        controls = names + count * _NAME
        packets = controls + count * _CONTROL
        self._names = range(names, controls, _NAME)
        self._controls = range(controls, packets, _CONTROL)
        self._packets = range(packets, packets + count * size, size)
        # Pages of it that are never written to take no memory.
        self._memory = mmap.mmap(-1, self._packets.stop, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        start = ctypes.c_char.from_buffer(self._memory)
        self._headers, begin = ctypes.byref(start), ctypes.addressof(start)
        for number in range(count):
            piece = pieces + number * _PIECE.size
            _PIECE.pack_into(self._memory, piece, begin + self._packets[number], size)
            name, control = begin + self._names[number], begin + self._controls[number]
            words = (name, _NAME, begin + piece, 1, control, _CONTROL, 0, 0)
            _HEADER.pack_into(self._memory, number * _HEADER.size, *words)
        self._fresh = self._memory[:pieces]
        headers = memoryview(self._memory)[:pieces]
        told, sizes = headers.cast("L"), headers.cast("I")
        step = _HEADER.size // sizes.itemsize
        self.told = told[_TOLD // told.itemsize :: _HEADER.size // told.itemsize]
        self._sizes, self._named = (sizes[at // sizes.itemsize :: step] for at in (_SIZE, _NAMED))

    def receive(self, fd: int) -> int:
        """
        Receive the packets that have come in.

        :return: how many packets were received.
        :raise OSError: no packet has come in, or the call failed.
        """
        # The previous call has overwritten these fields.
        self._memory[: len(self._fresh)] = self._fresh
        count: int = self._call(fd, self._headers, self._count, self._flags, None)
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return count

    def packet(self, number: int) -> bytes:
        """
        Return the bytes of a packet.
        """
        start = self._packets[number]
        return self._memory[start : start + self._sizes[number]]

    def sender(self, number: int) -> Any:
        """
        Return the source address of a packet, if it is an IPv4 or IPv6 address.
        """
        start = self._names[number]
        name = self._memory[start : start + self._named[number]]
        return nameFrom(name) if name[:2] in _INTERNET else None

    def control(self, number: int) -> bytes:
        """
        Return the control messages of a packet.
        """
        start = self._controls[number]
        return self._memory[start : start + self.told[number]]

    def controls(self, layout: struct.Struct, count: int) -> Iterator[tuple[Any, ...]]:
        """
        Unpack the control messages of some packets, as if each had those of the layout.

        :param layout: a result of :func:`padded`.
        """
        start = self._controls[0]
        return layout.iter_unpack(self._memory[start : start + count * _CONTROL])


@cache
def receiver(count: int, size: int, flags: int = 0) -> Receiver:
    """
    Return a receiver that all sockets share: it keeps nothing between calls.
    """
    return Receiver(count, size, flags)
