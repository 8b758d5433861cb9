"""
Bulk moved from a socket back to it without being copied: splice(2).
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

#: Bytes moved at once; what a slow peer may leave to be kept for it.
PIECE = 262_144

#: Bytes of room.  Each segment takes a page of it, however small it is.
_ROOM = 1_048_576

_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Pipe:
    """
    The pipe that bytes go through; it is always empty in the end.

    What does not go out is taken out, to be written as ever: so nothing of
    what holds for a connection has to be kept in mind for bytes in here.
    """

    def __init__(self) -> None:
        self.outlet, self.inlet = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(OSError):
            fcntl.fcntl(self.inlet, fcntl.F_SETPIPE_SZ, _ROOM)

    def relay(self, fd: int) -> tuple[bytes | None, Any] | None:
        """
        Give back what has come, unseen, as :func:`messages.plainEcho` would.

        :return: nothing; or what was taken out, and that none of it was written; or what
            recv(2) finds where nothing came in: it tells what it is, and gets past urgent data.
        """
        size = sent = 0
        with suppress(OSError):
            size = os.splice(fd, self.inlet, PIECE, flags=_FLAGS)
        if not size:
            return messages.plainEcho(fd)
        # An error shows again when the rest is written.
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
        Have nobody get what was another's.
        """
        with suppress(BlockingIOError):
            while os.read(self.outlet, PIECE):
                pass


@cache
def pipe() -> Pipe | None:
    """
    Give the one pipe of this process, if there can be one.
    """
    try:
        return Pipe()
    except OSError:
        return None


def relay() -> Callable[[int], Any]:
    """
    Give what echoes bulk: through the pipe, if there is one; in C, if it is compiled.
    """
    through = pipe()
    if through is None:
        return messages.echo
    if compiled.speedups is None:
        return through.relay
    echo: Callable[[int], Any] = compiled.speedups.relays((through.outlet, through.inlet))
    return echo
