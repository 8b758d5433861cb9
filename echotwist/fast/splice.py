"""
Bulk moved from a socket back to it without being copied: splice(2).
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from functools import cache

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
        self._outlet, self._inlet = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(OSError):
            fcntl.fcntl(self._inlet, fcntl.F_SETPIPE_SZ, _ROOM)

    def fill(self, fd: int) -> int:
        """
        Take in what has come.

        :return: how many bytes; 0 at the end of the stream.
        """
        return os.splice(fd, self._inlet, PIECE, flags=_FLAGS)

    def pour(self, fd: int, size: int) -> int:
        """
        Give out what there is.

        :param size: of all that, in bytes.
        :return: how many bytes were taken.
        """
        return os.splice(self._outlet, fd, size, flags=_FLAGS)

    def rest(self, size: int) -> bytes:
        """
        Take out what there is.
        """
        return os.read(self._outlet, size)

    def renew(self) -> None:
        """
        Begin anew, so that nobody gets what was another's.
        """
        used = self._outlet, self._inlet
        self.__init__()  # type: ignore[misc]
        for fd in used:
            os.close(fd)


@cache
def pipe() -> Pipe | None:
    """
    Give the one pipe of this process, if there can be one.
    """
    try:
        return Pipe()
    except OSError:
        return None
