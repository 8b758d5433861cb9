"""
Make standard output and standard error never block: the reader of the log may be
slow, hang, or be gone.
"""

from __future__ import annotations

import os
import select
import stat
from contextlib import suppress
from typing import Any

from twisted.logger import Logger


class LossyStream:
    """
    A text stream that drops lines while there is no room, and tells how many when there
    is room again.

    Each line is written whole, or not at all.

    :param fd: the descriptor to write to.  No other program should write to the same pipe.
    """

    _log = Logger()

    def __init__(self, fd: int, encoding: str = "utf-8") -> None:
        self._fd = fd
        self._encoding = encoding
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._rest = b""
        self._dropped = 0

    def write(self, text: str) -> int:
        """
        Write lines, or count them as dropped.
        """
        self._rest = self._send(self._rest)
        if self._dropped and not self._rest and self._hasRoom():
            lines, self._dropped = self._dropped, 0
            self._log.warn("{lines} log lines dropped: nobody read them in time", lines=lines)
        data = text.encode(self._encoding, "backslashreplace")
        left = data if self._rest else self._send(data)
        if left == data:
            self._dropped += text.count("\n")
        else:
            self._rest = left
        return len(text)

    def flush(self) -> None:
        """
        Do nothing: this stream has no buffer.
        """

    def _send(self, data: bytes) -> bytes:
        """
        Write while there is room.

        :return: the bytes left.
        """
        with suppress(OSError):
            while data and self._hasRoom():
                # A pipe that poll(2) calls writable takes this much at once (pipe(7)).
                data = data[os.write(self._fd, data[: select.PIPE_BUF]) :]
        return data

    def _hasRoom(self) -> bool:
        return self._poll.poll(0) == [(self._fd, select.POLLOUT)]


def keepFromBlocking(stream: Any) -> None:
    """
    Make a stream lossy, if it goes to a pipe, a socket or a terminal.

    It stays the same object, as loggers may refer to it already.

    :param stream: ``sys.__stdout__``, for instance; ``None`` if it was closed at the start.
    """
    # Windows has no poll().
    if stream is None or "write" in vars(stream) or not hasattr(select, "poll"):
        return
    fd = stream.fileno()
    kind = os.fstat(fd).st_mode
    if os.isatty(fd) or stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
        lossy = LossyStream(_ownTerminal(fd) if os.isatty(fd) else fd, stream.encoding)
        stream.write, stream.flush = lossy.write, lossy.flush


def _ownTerminal(fd: int) -> int:
    """
    Open a terminal again, and make the new descriptor non-blocking, which does not affect
    other programs on the terminal (``O_NONBLOCK``, open(2)).

    :return: the new descriptor, or the same one if we may not open the terminal.
    """
    try:
        return os.open(os.ttyname(fd), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return fd
