"""
The echo of one message, for a connection that needs nothing else.
"""

from __future__ import annotations

from os import read, write
from typing import Any

from echotwist.fast.compiled import speedups
from echotwist.streams.connection import Connection

#: Bytes read at once.
MOST = Connection.bufferSize

#: Bytes; on a connection where so many have passed, a client that fills each read sends bulk.
BULK = 1_048_576

#: Bytes that passed on each descriptor since they were last taken.
_passed: list[int] = []


def plainEcho(fd: int) -> tuple[bytes | None, Any] | None:
    """
    Read the bytes that have come, and write them back: for a connection that only
    echoes, and has nothing waiting to be written.

    For each message this function runs, or its copy in C, and no other code of ours.

    :return: ``None`` when all is done; or else the arguments of
        :meth:`FastConnection.doUnusual`.
    """
    data = None
    try:
        data = read(fd, MOST)
        if not data:
            return data, 0
        sent = write(fd, data)
    except OSError as error:
        if data is None:
            return None, error.errno
        # The frames of its traceback would make a reference cycle: garbage for each reset.
        return data, error.with_traceback(None)
    if sent != len(data) or (sent == MOST and notePassed(fd, 0) >= BULK):
        return data, sent
    try:
        _passed[fd] += sent
    except IndexError:
        notePassed(fd, sent)
    return None


def notePassed(fd: int, size: int) -> int:
    """
    Add to the number of bytes that have passed on a descriptor.

    :return: the number since :func:`plainTaken` was last called.
    """
    if fd >= len(_passed):
        _passed.extend([0] * (fd + 1 - len(_passed)))
    _passed[fd] += size
    return _passed[fd]


def plainTaken(fd: int) -> int:
    """
    Return how many bytes have passed on a descriptor, and reset the number.
    """
    if fd >= len(_passed):
        return 0
    size, _passed[fd] = _passed[fd], 0
    return size


#: The functions in C, or those in Python; one descriptor is only used with one set.
echo, taken = (speedups.echo, speedups.taken) if speedups else (plainEcho, plainTaken)
