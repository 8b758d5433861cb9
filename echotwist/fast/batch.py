"""
Datagrams in batches: up to 64 with two system calls.

``recvmmsg`` and ``sendmmsg`` (see their man pages) have no counterpart in
Python's ``socket``, so they are called in the C library by way of ``ctypes``.
Replies leave from the memory that the kernel wrote the datagrams to.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any

from echotwist.datagrams.port import LARGEST, DatagramPort
from echotwist.sockets import packetinfo

#: Datagrams that two calls handle, before others have their turn.
BATCH = 64

#: ``struct mmsghdr``: address and its size, pieces and their count, control
#: messages and their size, flags, and the size of the datagram.
_HEADER = struct.Struct("@PIPNPNi0PI0P")
#: ``struct iovec``: where a piece is, and its size.
_PIECE = struct.Struct("@PN")
#: Where in a header the size is, and where in a piece its lower half.
_SIZE = struct.calcsize("@PIPNPNi0P")
_PIECE_SIZE = struct.calcsize("@P") + (sys.byteorder == "big") * (struct.calcsize("@N") - 4)
#: Bytes of a ``struct sockaddr_in6``, which is the largest, and of its place.
_NAME_SIZE, _NAME = 28, 32
#: What the kernel tells of a datagram: its address and control messages.
_TOLD = struct.Struct(f"@{_NAME_SIZE}s{_NAME - _NAME_SIZE}x{packetinfo.ROOM}s")
#: ``struct cmsghdr``: size, level and type.
_CONTROL = struct.Struct("@Nii")
#: Bytes from one datagram to the next.  A round number would have all of them
#: compete for the same few lines of the processor's cache.
_STRIDE = LARGEST + 320

#: How many sources and asked addresses are remembered.
_KNOWN = 4096


def _function(name: str) -> Any:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    word, address = ctypes.c_int, ctypes.c_void_p
    more = [address] if name == "recvmmsg" else []
    function.argtypes = [word, address, ctypes.c_uint, word, *more]
    return function


class Batch:
    """
    Memory for a batch of datagrams, and the two calls that fill and empty it.

    It has a part for the headers to receive with, what is told of each
    datagram, the headers to reply with, their control messages, the pieces
    that both kinds of headers point to, and the datagrams.
    """

    def __init__(self) -> None:
        self._receive = _function("recvmmsg")
        self._send = _function("sendmmsg")
        told, control = _TOLD.size, packetinfo.ROOM
        parts = [_HEADER.size, told, _HEADER.size, control, _PIECE.size, _PIECE.size, _STRIDE]
        sizes = [BATCH * size for size in parts]
        self._memory = mmap.mmap(-1, sum(sizes), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        starts = accumulate(sizes[:-1])
        self._told, self._replies, self._controls, self._room, self._pieces, self._data = starts
        for number in range(BATCH):
            self._prepare(number)
            self.answer(number, b"")
        self._fresh = self._memory[: self._replies]
        words = memoryview(self._memory)[: self._data].cast("I")
        self._sizes = words[_SIZE // 4 : self._told // 4 : _HEADER.size // 4]
        replySize = (self._pieces + _PIECE_SIZE) // 4
        self._replySizes = words[replySize : self._data // 4 : _PIECE.size // 4]

    def _prepare(self, number: int) -> None:
        data = self._address + self._data + number * _STRIDE
        _PIECE.pack_into(self._memory, self._room + number * _PIECE.size, data, LARGEST)
        _PIECE.pack_into(self._memory, self._pieces + number * _PIECE.size, data, 0)
        control = self._told + number * _TOLD.size + _NAME
        self._pack(0, number, self._room, control, packetinfo.ROOM)

    def _pack(self, headers: int, number: int, pieces: int, control: int, size: int) -> None:
        name = self._address + self._told + number * _TOLD.size
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

    def receive(self, fd: int, most: int) -> list[int]:
        """
        Receive datagrams.

        :return: their sizes in bytes.
        :raise OSError: there are none, or something went wrong.
        """
        self._memory[: self._replies] = self._fresh
        count = self._receive(fd, self._address, most, 0, None)
        if count < 0:
            raise _error()
        self._replySizes[:count] = self._sizes[:count]
        return self._sizes[:count].tolist()

    def told(self, count: int) -> Iterator[tuple[bytes, bytes]]:
        """
        Give the address and the control messages of each datagram.
        """
        start = self._told
        return _TOLD.iter_unpack(self._memory[start : start + count * _TOLD.size])

    def datagram(self, number: int, size: int) -> bytes:
        """
        Give one datagram.
        """
        start = self._data + number * _STRIDE
        return self._memory[start : start + size]

    def send(self, fd: int, first: int, end: int) -> int:
        """
        Send replies.

        :param first: number of the first; ``end`` is the one after the last.
        :return: how many were sent.
        :raise OSError: the first could not be sent.
        """
        start = self._address + self._replies + first * _HEADER.size
        count: int = self._send(fd, start, end - first, 0)
        if count < 0:
            raise _error()
        return count


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


@cache
def works() -> bool:
    """
    Tell whether the kernel lets us: a container may be denied the calls.
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


class BatchPort(DatagramPort):
    """
    A datagram port that echoes in batches.

    The guard judges each datagram.  What the protocol would do is known, an
    exact echo, and so it is not asked.
    """

    atOnce = BATCH

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._batch = Batch()
        #: What the control messages of each reply, as they are now, answer.
        self._answered = [b"\0"] * BATCH
        #: Sources that may have anything.
        self._free: set[bytes] = set()

    def handle(self, most: int) -> bool:
        """
        Handle so many datagrams of those that wait.

        :return: whether there was one.
        """
        sizes: list[int] = []
        while most > 0:
            asked = min(most, BATCH)
            try:
                sizes = self._batch.receive(self.fileno(), asked)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in (errno.ENOSYS, errno.EPERM):
                    self.handle = super().handle  # type: ignore[method-assign]
                self.failed("receive", error)
                break
            self._answerAll(sizes)
            most = most - asked if len(sizes) == asked else 0
        return bool(sizes)

    def _answerAll(self, sizes: list[int]) -> None:
        self._counters.receivedDatagrams += len(sizes)
        self._counters.receivedBytes += sum(sizes)
        free, answered, first = self._free, self._answered, 0
        for number, (name, control) in enumerate(self._batch.told(len(sizes))):
            if name in free and control == answered[number]:
                continue
            if self._refuses(number, name, control, sizes[number]):
                self._sendSome(sizes, first, number)
                first = number + 1
        self._sendSome(sizes, first, len(sizes))

    def _refuses(self, number: int, name: bytes, control: bytes, size: int) -> bool:
        peer = _peer(name)
        answer, toGroup = _answering(control)
        refusal = self._guard.refusal(peer, toGroup, self._batch.datagram(number, size))
        if refusal:
            self._limitedLog.refused(refusal, peer)
            return True
        if control != self._answered[number]:
            self._batch.answer(number, answer)
            self._answered[number] = control
        if self._guard.trusts(peer):
            if len(self._free) >= _KNOWN:
                self._free.clear()
            self._free.add(name)
        return False

    def _sendSome(self, sizes: list[int], first: int, end: int) -> None:
        while first < end:
            try:
                count = self._batch.send(self.fileno(), first, end)
            except OSError as error:
                self.failed("send", error)
                first += 1
                continue
            self._counters.sentDatagrams += count
            self._counters.sentBytes += sum(sizes[first : first + count])
            first += count


@lru_cache(maxsize=_KNOWN)
def _peer(name: bytes) -> tuple[Any, ...]:
    """
    Turn a ``struct sockaddr`` into what ``recvfrom`` would give.
    """
    [family] = struct.unpack_from("@H", name)
    [port] = struct.unpack_from("!H", name, 2)
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, name[4:8]), port
    [flow] = struct.unpack_from("!I", name, 4)
    [scope] = struct.unpack_from("@I", name, 24)
    return socket.inet_ntop(socket.AF_INET6, name[8:24]), port, flow & 0xFFFFF, scope


@lru_cache(maxsize=_KNOWN)
def _answering(told: bytes) -> tuple[bytes, bool]:
    """
    Turn what the kernel told of a datagram into what to send the reply with.

    :return: control messages, and whether it was sent to a group.
    """
    control: list[packetinfo.Control] = []
    start, toGroup = 0, False
    while start + _CONTROL.size <= len(told):
        size, level, kind = _CONTROL.unpack_from(told, start)
        if size < _CONTROL.size:
            break
        data = told[start + _CONTROL.size : start + size]
        # IPv4 through a dual-stack socket is told twice, as IPv4 in the end.
        control, toGroup = packetinfo.answering(level, kind, data)
        start += -(-size // _ALIGNMENT) * _ALIGNMENT
    return b"".join(map(_packed, control)), toGroup


_ALIGNMENT = struct.calcsize("@N")


def _packed(control: packetinfo.Control) -> bytes:
    level, kind, data = control
    padding = bytes(-len(data) % _ALIGNMENT)
    return _CONTROL.pack(_CONTROL.size + len(data), level, kind) + data + padding
