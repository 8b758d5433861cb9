"""
Many packets of a socket with one call: recvmmsg(2), of Linux.

Python's own ``recvmsg`` needs a call for each packet, and one more to learn that there is
none; that is a large part of the time that a probe takes.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
from functools import cache
from typing import Any

from echotwist.sockets.packetinfo import nameFrom

#: ``struct mmsghdr``: address and its size, pieces and their count, control messages and
#: their size, flags, and the size of the packet; and where these sizes are.
_HEADER = struct.Struct("@PIPNPNi0PI0P")
_NAMED, _TOLD, _SIZE = map(struct.calcsize, ("@P", "@PIPNP", "@PIPNPNi0P"))
#: ``struct iovec``: where a piece is, and its size.
_PIECE = struct.Struct("@PN")

#: Bytes of control messages, and of an address, that there is room for: ``struct
#: sockaddr_un`` is the largest (unix(7)).
_CONTROL, _NAME = 256, 112
#: How addresses of the internet begin.
_INTERNET = [struct.pack("@H", family) for family in (socket.AF_INET, socket.AF_INET6)]


class Receiver:
    """
    Room for some packets, and the call that fills it.

    :param count: packets of a call.
    :param size: bytes of a packet; what is more is cut off.
    :param flags: of the call.
    :ivar memory: all that was received.
    :ivar controls: where in it the control messages of each packet are.
    :ivar told: how many bytes of these there are.
    """

    def __init__(self, count: int, size: int, flags: int = 0) -> None:
        # A function that knows the types of its arguments takes twice as long to call.
        self._call = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._count, self._flags = count, flags
        pieces = count * _HEADER.size
        names = pieces + count * _PIECE.size
        controls = names + count * _NAME
        packets = controls + count * _CONTROL
        self._names = range(names, controls, _NAME)
        self.controls = range(controls, packets, _CONTROL)
        self._packets = range(packets, packets + count * size, size)
        # Pages of it that nothing is written to take no memory.
        self.memory = mmap.mmap(-1, self._packets.stop, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        start = ctypes.c_char.from_buffer(self.memory)
        self._headers, begin = ctypes.byref(start), ctypes.addressof(start)
        for number in range(count):
            piece = pieces + number * _PIECE.size
            _PIECE.pack_into(self.memory, piece, begin + self._packets[number], size)
            name, control = begin + self._names[number], begin + self.controls[number]
            words = (name, _NAME, begin + piece, 1, control, _CONTROL, 0, 0)
            _HEADER.pack_into(self.memory, number * _HEADER.size, *words)
        self._fresh = self.memory[:pieces]
        headers = memoryview(self.memory)[:pieces]
        told, sizes = headers.cast("L"), headers.cast("I")
        step = _HEADER.size // sizes.itemsize
        self.told = told[_TOLD // told.itemsize :: _HEADER.size // told.itemsize]
        self._sizes, self._named = (sizes[at // sizes.itemsize :: step] for at in (_SIZE, _NAMED))

    def receive(self, fd: int) -> int:
        """
        Receive what there is.

        :return: how many packets.
        :raise OSError: there is nothing, or something went wrong.
        """
        # What the call left there the last time must not stay.
        self.memory[: len(self._fresh)] = self._fresh
        count: int = self._call(fd, self._headers, self._count, self._flags, None)
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return count

    def packet(self, number: int) -> bytes:
        """
        Give the bytes of a packet.
        """
        start = self._packets[number]
        return self.memory[start : start + self._sizes[number]]

    def sender(self, number: int) -> Any:
        """
        Give the address that came with a packet, if it is one of the internet.
        """
        start = self._names[number]
        name = self.memory[start : start + self._named[number]]
        return nameFrom(name) if name[:2] in _INTERNET else None

    def control(self, number: int) -> bytes:
        """
        Give the control messages of a packet.
        """
        start = self.controls[number]
        return self.memory[start : start + self.told[number]]


@cache
def receiver(count: int, size: int, flags: int = 0) -> Receiver:
    """
    Give a receiver that all sockets share: nothing stays in it.
    """
    return Receiver(count, size, flags)
