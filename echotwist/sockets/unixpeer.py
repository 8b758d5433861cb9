"""
Find the user who sent a UNIX datagram, and where the sender's name leads (unix(7)).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from echotwist.sockets.packetinfo import Control

#: ``struct ucred``: process, user and group.
_CREDENTIALS = struct.Struct("=iII")

#: Bytes of room for control messages: the credentials, which come first.  Without
#: room for the descriptors that a sender passes, the kernel closes them.
CREDENTIALS_ROOM = socket.CMSG_SPACE(_CREDENTIALS.size)

#: Bytes of the longest possible name, which has no NUL at its end.
LONGEST_NAME = 108

#: Names in this folder lead only to the files that this process has open.
OPENED = "/proc/self/fd"


def _overflow() -> int:
    with suppress(OSError):
        return int(Path("/proc/sys/kernel/overflowuid").read_text())
    return 65534


def _areAllKnown() -> bool:
    with suppress(OSError):
        return Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    return False


#: The number that stands for users unknown to the kernel (proc_sys_kernel(5))...
NOBODY = _overflow()

#: ...and whether the kernel knows all users: in a user namespace many users have that
#: number (user_namespaces(7)).
ALL_KNOWN = _areAllKnown()


def senderOf(control: Iterable[Control]) -> int | None:
    """
    Return the user who sent a datagram (``SCM_CREDENTIALS``).

    :return: ``None`` for a user unknown in this namespace, or if the datagram came
        before ``SO_PASSCRED`` was set.
    """
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            process, user, _ = _CREDENTIALS.unpack(data)
            if user != NOBODY or (process and ALL_KNOWN):
                return int(user)
    return None


def opened(name: bytes) -> int:
    """
    Open the file of a socket, so that no other file can take its place.  Do not follow
    a symbolic link at the end of the path.

    Links earlier on the path, such as ``/var/run``, are followed; the caller checks who
    owns the socket.

    :return: a descriptor, with ``O_PATH`` (open(2)).
    :raise OSError: the file cannot be opened.
    """
    return os.open(name, os.O_PATH | os.O_NOFOLLOW)


def placesOf(listeners: Iterable[socket.socket]) -> set[bytes | tuple[int, int]]:
    """
    Return the name of each UNIX socket, and device and inode of its file if it has one.
    """
    names = {os.fsencode(one.getsockname()) for one in listeners if one.family == socket.AF_UNIX}
    places: set[bytes | tuple[int, int]] = {*names}
    for name in names:
        with suppress(OSError, ValueError):  # The name is abstract, or its file cannot be reached.
            found = os.stat(name)
            places.add((found.st_dev, found.st_ino))
    return places
