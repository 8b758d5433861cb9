"""
The echo of one message, where there is nothing else to do.
"""

from __future__ import annotations

from os import read, write
from typing import Any

from echotwist.fast.compiled import speedups
from echotwist.streams.connection import Connection

#: Bytes read at once.
MOST = Connection.bufferSize

#: Bytes; where so many have passed, whoever sends as much as is read at once sends bulk.
BULK = 1_048_576

#: Bytes that passed on each descriptor since they were last taken.
_passed: list[int] = []


def plainEcho(fd: int) -> tuple[bytes | None, Any] | None:
    """
    Give back what has come, if that is all there is to do: to a connection that does
    nothing but echo, and has nothing waiting to be written.

    With each message this runs, or its like in C, and nothing else of ours.

    :return: nothing; or else for :meth:`FastConnection.doUnusual`.
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
        # Its frames would lead to who called this, and back: garbage for each reset.
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
    Note that so many bytes more have passed on a descriptor.

    :return: how many that makes since they were last taken.
    """
    if fd >= len(_passed):
        _passed.extend([0] * (fd + 1 - len(_passed)))
    _passed[fd] += size
    return _passed[fd]


def plainTaken(fd: int) -> int:
    """
    Tell how many bytes have passed on a descriptor, and begin anew.
    """
    if fd >= len(_passed):
        return 0
    size, _passed[fd] = _passed[fd], 0
    return size


#: In C or in Python; a descriptor keeps to one of them.
echo, taken = (speedups.echo, speedups.taken) if speedups else (plainEcho, plainTaken)
