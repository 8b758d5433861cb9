"""
Sockets of the UNIX family (unix(7)): opening them, and their files.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import Any

from echotwist.addresses import nameText
from echotwist.sockets import ListenError, ownSockets, transportOf

#: Who may connect, unless somebody says otherwise: owner and group.
MODE = 0o660

#: Bytes; more than any system lets us have.  It gives us what it gives a peer at the most.
MOST = 2**30

_HINTS = {
    errno.EADDRINUSE: "another program listens there",
    errno.EEXIST: "only a socket that nobody listens on is replaced",
    errno.ENAMETOOLONG: "names of sockets have 107 bytes at the most",
}


class FileSocket(socket.socket):
    """
    A socket whose file goes away with it, if it is still its own.
    """

    _file: tuple[str, int, int] | None = None

    def bindFile(self, name: str, mode: int) -> None:
        """
        Bind to a file, in the place of a socket that nobody listens on.

        :param mode: of the file: who may connect or send.
        :raise OSError: somebody does, or it is no socket.
        """
        _removeStale(name, self.type)
        # With chmod(2) afterwards there would be a moment in between.
        before = os.umask(0o777 & ~mode)
        try:
            self.bind(name)
        finally:
            os.umask(before)
        made = os.stat(name)
        self._file = (os.path.abspath(name), made.st_dev, made.st_ino)

    def close(self) -> None:
        """
        Close it, and remove its file.
        """
        if self._file is not None:
            name, *made = self._file
            self._file = None
            with suppress(OSError):
                found = os.stat(name)
                if [found.st_dev, found.st_ino] == made:
                    os.unlink(name)
        super().close()


def _removeStale(name: str, kind: int) -> None:
    try:
        found = os.lstat(name)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "a file that is no socket has that name")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        if probe.connect_ex(name) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    os.unlink(name)


def openUnix(
    name: str, kind: socket.SocketKind, *, mode: int = MODE, backlog: int = 0
) -> socket.socket:
    """
    Open a UNIX socket that is bound; a stream listens.

    :param name: of its file, or one that begins with NUL: an abstract one.
    :param mode: of the file.
    :param backlog: connections that may wait to be accepted.
    :raise ListenError: nothing is left open then.
    """
    listener: Any = FileSocket(socket.AF_UNIX, kind)
    try:
        listener.setblocking(False)
        if name.startswith("\0"):
            listener.bind(name)
        else:
            listener.bindFile(name, mode)
        if kind == socket.SOCK_STREAM:
            listener.listen(backlog)
    except (OSError, ValueError) as error:
        transport = transportOf(listener)
        listener.close()
        cause = error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error))
        if cause.errno is None:
            cause = OSError(errno.ENAMETOOLONG, str(error))
        hint = _HINTS.get(cause.errno or 0, "")
        if cause.errno == errno.EADDRINUSE and _isOurs(name):
            hint = "we listen there ourselves"
        raise ListenError(transport, nameText(name), cause, hint) from None
    return listener  # type: ignore[no-any-return]


def _isOurs(name: str) -> bool:
    """
    Tell whether a socket of this process has a name already.
    """
    names = [one.getsockname() for one in ownSockets() if one.family == socket.AF_UNIX]
    if name.startswith("\0"):
        return os.fsencode(name) in names
    return any(isinstance(one, str) and _isSame(one, name) for one in names)


def _isSame(name: str, other: str) -> bool:
    with suppress(OSError):
        return os.path.samefile(name, other)
    return False


def openUnixDatagram(name: str) -> socket.socket:
    """
    Open a UNIX datagram socket that is bound.

    :raise ListenError: nothing is left open then.
    """
    listener = openUnix(name, socket.SOCK_DGRAM)
    prepareDatagram(listener)
    return listener


def prepareDatagram(listener: socket.socket) -> None:
    """
    Make room, so that whatever a peer could send can be sent back.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST)


def named(text: str) -> str:
    r"""
    Give the name that a text means, in which an abstract one begins with ``\0``,
    or with ``@`` as systemd and our log write it.
    """
    for start in ("\\0", "@"):
        if text.startswith(start):
            return "\0" + text.removeprefix(start)
    return text
