"""
Receive and send datagrams in batches: up to 64 with two system calls.

``recvmmsg`` and ``sendmmsg`` (see their man pages) have no counterpart in
Python's ``socket``, so ``ctypes`` calls them in the C library.
Replies leave from the memory that the kernel wrote the datagrams to.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
import sys
from functools import cache
from itertools import accumulate, islice
from typing import Any

from echotwist.datagrams.port import LARGEST
from echotwist.fast import compiled
from echotwist.sockets import packetinfo

#: Datagrams that two calls handle, before other sockets have their turn.
BATCH = 64

#: ``struct mmsghdr``: address and its size, pieces and their count, control
#: messages and their size, flags, and the size of the datagram.
_HEADER = struct.Struct("@PIPNPNi0PI0P")
#: ``struct iovec``: the address of a piece, and its size.
_PIECE = struct.Struct("@PN")
#: The counters that the C code keeps: datagrams, and their bytes.
_COUNTS = struct.Struct("@QQ")
#: The offset of the size in a header, and of its lower half in a piece.
_SIZE = struct.calcsize("@PIPNPNi0P")
_PIECE_SIZE = struct.calcsize("@P") + (sys.byteorder == "big") * (struct.calcsize("@N") - 4)
#: Bytes of a ``struct sockaddr_in6``, which is the largest, and the room kept for it.
_NAME_SIZE, _NAME = 28, 32
#: Bytes of the room for the address and control messages of a received datagram.
_TOLD = _NAME + packetinfo.ROOM
#: Bytes from one datagram to the next.  A round number would have all of them
#: compete for the same few lines of the processor's cache.
_STRIDE = LARGEST + 320


class Batch:
    """
    Memory for a batch of datagrams, and the two calls that fill and empty it.

    It has a part for the headers to receive with, the address and control messages of
    each datagram, the headers to reply with, their control messages, the pieces that
    both kinds of headers point to, the datagrams, and two counters.

    :meth:`receive` changes the headers; :meth:`renew` sets them back.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        # With ``argtypes`` a call takes twice as long.  Without them a plain number is
        # passed as an int, so an address has to be a reference, made here.
        self._receive, self._send = library.recvmmsg, library.sendmmsg
        told, control = _TOLD, packetinfo.ROOM
        parts = [_HEADER.size, told, _HEADER.size, control, _PIECE.size, _PIECE.size, _STRIDE]
        sizes = [*(BATCH * size for size in parts), _COUNTS.size]
        self._memory = mmap.mmap(-1, sum(sizes), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        start = ctypes.c_char.from_buffer(self._memory)
        self._address = ctypes.addressof(start)
        starts = accumulate(sizes[:-1])
        self._told, self._replies, self._controls, self._room, self._pieces = islice(starts, 5)
        self._data, self._counts = starts
        for number in range(BATCH):
            self._prepare(number)
            self.answer(number, b"")
        self._requestsAt = ctypes.byref(start)
        replies = range(self._replies, self._controls, _HEADER.size)
        self._replyAt = [ctypes.byref(start, place) for place in replies]
        self._fresh = self._memory[: self._replies]
        self._renewals = list(map(self._renewal, range(BATCH + 1)))
        self._firstTold = slice(self._told, self._told + _TOLD)
        self._firstReply = self._replyAt[0]
        words = memoryview(self._memory)[: self._data].cast("I")
        self._sizes = words[_SIZE // 4 : self._told // 4 : _HEADER.size // 4]
        replySize = (self._pieces + _PIECE_SIZE) // 4
        self._replySizes = words[replySize : self._data // 4 : _PIECE.size // 4]

    def _prepare(self, number: int) -> None:
        data = self._address + self._data + number * _STRIDE
        _PIECE.pack_into(self._memory, self._room + number * _PIECE.size, data, LARGEST)
        _PIECE.pack_into(self._memory, self._pieces + number * _PIECE.size, data, 0)
        control = self._told + number * _TOLD + _NAME
        self._pack(0, number, self._room, control, packetinfo.ROOM)

    def _pack(self, headers: int, number: int, pieces: int, control: int, size: int) -> None:
        name = self._address + self._told + number * _TOLD
        piece = self._address + pieces + number * _PIECE.size
        header = (name, _NAME_SIZE, piece, 1, self._address + control, size, 0, 0)
        _HEADER.pack_into(self._memory, headers + number * _HEADER.size, *header)

    def answer(self, number: int, control: bytes) -> None:
        """
        Set the control messages that a reply leaves with.
        """
        start = self._controls + number * packetinfo.ROOM
        self._memory[start : start + len(control)] = control
        self._pack(self._replies, number, self._pieces, start, len(control))

    def receive(self, fd: int, most: int) -> int:
        """
        Receive datagrams.

        :return: how many came.
        :raise OSError: none waits, or the call failed.
        """
        count: int = self._receive(fd, self._requestsAt, most, 0, None)
        if count < 0:
            error = _error()
            self.renew(BATCH)
            raise error
        return count

    def renew(self, count: int) -> None:
        """
        Clear the addresses and control messages of so many datagrams: none of their bytes
        may be left after those of the next ones.
        """
        # The kernel may have begun one more datagram, and given it up.
        for part in self._renewals[min(count + 1, BATCH)]:
            self._memory[part] = self._fresh[part]

    def _renewal(self, count: int) -> tuple[slice, slice]:
        """
        Return the parts that so many datagrams change: headers, and addresses with control
        messages.
        """
        return slice(0, count * _HEADER.size), slice(self._told, self._told + count * _TOLD)

    def turns(self, known: dict[bytes, bytes]) -> Any:
        """
        Return the function that receives and answers datagrams in C, if it is compiled.

        :param known: the replies known in advance, as in :attr:`BatchPort._known`.
        """
        if compiled.speedups is None:
            return None
        counts = self._address + self._counts
        return compiled.speedups.turns((self._address, counts, known, self))

    def counted(self) -> tuple[int, int]:
        """
        Return how many datagrams that function has answered, and their bytes; reset both.
        """
        datagrams, size = _COUNTS.unpack_from(self._memory, self._counts)
        _COUNTS.pack_into(self._memory, self._counts, 0, 0)
        return datagrams, size

    def sizes(self, count: int) -> list[int]:
        """
        Return the sizes of the datagrams in bytes, and make the replies as large.
        """
        self._replySizes[:count] = self._sizes[:count]
        return self._sizes[:count].tolist()

    def first(self) -> bytes:
        """
        Return the address and control messages of the first datagram.
        """
        return self._memory[self._firstTold]

    def sendFirst(self, fd: int) -> int:
        """
        Send back the first datagram.

        :return: its size in bytes.
        :raise OSError: it could not be sent.
        """
        self._replySizes[0] = size = self._sizes[0]
        if self._send(fd, self._firstReply, 1, 0) != 1:
            raise _error()
        return size

    def told(self, count: int) -> list[bytes]:
        """
        Return the address and control messages of each datagram.
        """
        start, end = self._told, self._told + count * _TOLD
        return [self._memory[place : place + _TOLD] for place in range(start, end, _TOLD)]

    def datagram(self, number: int, size: int) -> bytes:
        """
        Return one datagram.
        """
        start = self._data + number * _STRIDE
        return self._memory[start : start + size]

    def send(self, fd: int, first: int, end: int) -> int:
        """
        Send replies.

        :param first: the number of the first; ``end`` is the number after the last.
        :return: how many were sent.
        :raise OSError: the first could not be sent.
        """
        count: int = self._send(fd, self._replyAt[first], end - first, 0)
        if count < 0:
            raise _error()
        return count


def parts(told: bytes) -> tuple[bytes, bytes]:
    """
    Split what the kernel wrote for a datagram into its address and its control messages.
    """
    return told[:_NAME_SIZE], told[_NAME:]


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


@cache
def works() -> bool:
    """
    Tell whether the kernel allows the two calls: a container may forbid them.
    """
    try:
        batch = Batch()
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            batch.send(probe.fileno(), 0, 0)
            batch.receive(probe.fileno(), 1)
    except BlockingIOError:
        return True
    except (OSError, AttributeError):
        pass
    return False
