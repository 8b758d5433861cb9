"""
Open sockets of the UNIX family (unix(7)), and look after their files.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from echotwist.sockets.addresses import nameText
from echotwist.sockets.errors import ListenError
from echotwist.sockets.opening import ownSockets, transportOf

try:
    import fcntl
except ImportError:  # Windows, which has no UNIX sockets in Python either
    fcntl = None  # type: ignore[assignment]

#: The default mode of the file: owner and group may connect.
MODE = 0o660

#: Bytes; more than any system allows.  The kernel then gives us as much as any peer.
SEND_BUFFER = 2**30

#: How often to try a lock whose file another process removes meanwhile.
LOCK_TRIES = 20

#: The flags to open the file of a lock, whether it exists or not.
_LOCK = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

_FILE_HINTS = {
    errno.EADDRINUSE: "another program listens there",
    errno.EEXIST: "only a socket that nobody listens on is replaced",
    errno.ENAMETOOLONG: "names of sockets have 107 bytes at the most",
}


class FileSocket(socket.socket):
    """
    A socket that removes its file when it is closed, if the file is still its own.
    """

    _file: tuple[str, tuple[int, int]] | None = None

    def bindFile(self, name: str, mode: int) -> None:
        """
        Bind to a file; replace a socket that no process listens on.

        :param mode: the mode of the file, which says who may connect or send.
        :raise OSError: a process listens there, or the file is not a socket.
        """
        path = os.path.join(os.getcwd(), name)
        with _folderOf(path) as (folder, base):
            _removeStale(name, self.type, folder, base)
            # With chmod(2) the file would have another mode for a moment.
            before = os.umask(0o777 & ~mode)
            try:
                self.bind(name)
            finally:
                os.umask(before)
            self._file = path, _identity(os.lstat(base, dir_fd=folder))

    def close(self) -> None:
        """
        Close the socket, and remove its file.
        """
        if self._file is not None:
            path, made = self._file
            self._file = None
            with suppress(OSError), _folderOf(path) as (folder, base):
                if _identity(os.lstat(base, dir_fd=folder)) == made:
                    os.unlink(base, dir_fd=folder)
        super().close()


@contextmanager
def _folderOf(path: str) -> Iterator[tuple[int, str]]:
    """
    Open the folder of a file.

    The owner of a folder on the path may change where it leads at any time.  With this
    descriptor we remove the file from the same folder in which we checked it.

    :return: a descriptor, and the name of the file in that folder.
    """
    folder = os.open(os.path.dirname(path) or ".", getattr(os, "O_PATH", os.O_RDONLY))
    try:
        yield folder, os.path.basename(path)
    finally:
        os.close(folder)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _removeStale(name: str, kind: int, folder: int, base: str) -> None:
    try:
        found = os.lstat(base, dir_fd=folder)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "a file that is no socket has that name")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        if probe.connect_ex(name) != errno.ECONNREFUSED:
            raise _inUse()
    os.unlink(base, dir_fd=folder)


def _inUse() -> OSError:
    return OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """
    Lock a path, so that no other service opens a socket there meanwhile.  Without the
    lock, when two services find an abandoned socket, the first replaces it; its new
    socket does not listen yet, so the second takes it for abandoned too, and removes it.

    The file of the lock is removed in the end.  Where no lock can be made the service
    goes on without one.

    :raise OSError: another service has the lock.
    """
    with _folderOf(f"{name}.lock") as (folder, base):
        lock = _lock(folder, base)
        try:
            yield
        finally:
            if lock is not None:
                _unlock(lock, folder, base)


def _lock(folder: int, base: str) -> int | None:
    for _ in range(LOCK_TRIES):
        try:
            lock = os.open(base, _LOCK, 0o600, dir_fd=folder)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            break
        except OSError:  # The file system has no locks.
            return lock
        if _isThere(lock, folder, base):
            return lock
        # The last holder removed the file before we had the lock.
        os.close(lock)
    raise _inUse()


def _unlock(lock: int, folder: int, base: str) -> None:
    if _isThere(lock, folder, base) and not os.fstat(lock).st_size:
        with suppress(OSError):
            os.unlink(base, dir_fd=folder)
    os.close(lock)


def _isThere(file: int, folder: int, base: str) -> bool:
    with suppress(OSError):
        return _identity(os.lstat(base, dir_fd=folder)) == _identity(os.fstat(file))
    return False


def openUnix(
    name: str, kind: socket.SocketKind, *, mode: int = MODE, backlog: int = 0
) -> socket.socket:
    """
    Open and bind a UNIX socket; let one for streams listen.

    :param name: a path, or an abstract name, which begins with NUL.
    :param mode: the mode of the file.
    :param backlog: connections that may wait to be accepted.
    :raise ListenError: it cannot be opened; nothing is left open.
    """
    listener = FileSocket(socket.AF_UNIX, kind)
    isFile = not name.startswith("\0")
    try:
        listener.setblocking(False)
        if kind == socket.SOCK_DGRAM:
            prepareDatagram(listener)
        with _alone(name) if isFile else nullcontext():
            if isFile:
                listener.bindFile(name, mode)
            else:
                listener.bind(name)
            if kind == socket.SOCK_STREAM:
                listener.listen(backlog)
    except (OSError, ValueError) as error:
        transport = transportOf(listener)
        listener.close()
        cause = error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error))
        if cause.errno is None:
            cause = OSError(errno.ENAMETOOLONG, str(error))
        hint = _FILE_HINTS.get(cause.errno or 0, "")
        if cause.errno == errno.EADDRINUSE and _isTakenByUs(name):
            hint = "another listener of this command has it"
        raise ListenError(transport, nameText(name), cause, hint) from None
    return listener


def _isTakenByUs(name: str) -> bool:
    """
    Tell whether this process already has a socket of that name.
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
    Open and bind a UNIX datagram socket.

    :raise ListenError: it cannot be opened; nothing is left open.
    """
    return openUnix(name, socket.SOCK_DGRAM)


def prepareDatagram(listener: socket.socket) -> None:
    """
    Let the kernel tell the user who sent each datagram, and make room to send back the
    largest datagram that a peer can send.

    :raise OSError: the kernel does not tell; only Linux does.
    """
    if not hasattr(socket, "SO_PASSCRED"):
        raise OSError(errno.ENOTSUP, "this system does not tell who sends (SO_PASSCRED)")
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)


def named(text: str) -> str:
    r"""
    Return the name that a text means.  In the text an abstract name begins with ``\0``,
    or with ``@`` as systemd and our log write it.
    """
    for start in ("\\0", "@"):
        if text.startswith(start):
            return "\0" + text.removeprefix(start)
    return text
