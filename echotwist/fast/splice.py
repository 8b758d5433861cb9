"""
Echo bulk without copying it, by splice(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from echotwist.fast import compiled, messages
from echotwist.streams.connection import ENDINGS

#: Bytes moved at once; a slow peer may leave as many to be kept for it.
PIECE = 262_144

#: The size of the pipe in bytes.  Each segment takes a page of it, however small it is.
_ROOM = 1_048_576

_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Pipe:
    """
    The pipe that bytes go through; each call leaves it empty.

    Bytes that the peer does not take are read out of the pipe, and the connection
    writes them as usual: so no other code has to know about bytes in the pipe.
    """

    def __init__(self) -> None:
        self.outlet, self.inlet = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(OSError):
            fcntl.fcntl(self.inlet, fcntl.F_SETPIPE_SZ, _ROOM)

    def relay(self, fd: int) -> tuple[bytes | None, Any] | None:
        """
        Echo bytes that have come, as :func:`messages.plainEcho` would, without reading them.

        :return: ``None`` when all is done; or the bytes read out of the pipe, of which
            none was written; or the result of recv(2) where nothing came in: it tells
            why, and gets past urgent data.
        """
        size = sent = 0
        try:
            size = os.splice(fd, self.inlet, PIECE, flags=_FLAGS)
        except OSError as error:
            if error.errno in ENDINGS:  # The kernel tells it only once.
                return None, error.errno
        if not size:
            return messages.plainEcho(fd)
        # A write error shows again when the rest is written.
        with suppress(OSError):
            sent = os.splice(self.outlet, fd, size, flags=_FLAGS)
        messages.notePassed(fd, sent)
        return (self._rest(size - sent), 0) if sent < size else None

    def _rest(self, size: int) -> bytes:
        try:
            rest = os.read(self.outlet, size)
            if len(rest) == size:
                return rest
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        except BaseException:
            self._empty()
            raise

    def _empty(self) -> None:
        """
        Empty the pipe after an error, so that no client gets the bytes of another.
        """
        with suppress(BlockingIOError):
            while os.read(self.outlet, PIECE):
                pass


@cache
def pipe() -> Pipe | None:
    """
    Return the one pipe of this process, if there can be one.
    """
    try:
        return Pipe()
    except OSError:
        return None


def relay() -> Callable[[int], Any]:
    """
    Return the function that echoes bulk: through the pipe, if there is one; in C, if compiled.
    """
    through = pipe()
    if through is None:
        return messages.echo
    if compiled.speedups is None:
        return through.relay
    echo: Callable[[int], Any] = compiled.speedups.relays((through.outlet, through.inlet))
    return echo
