"""
Checks of the options of ``twistd`` itself.

``twistd`` checks them late, and then prints a traceback, or nothing at all.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echotwist.sockets.errors import inWords

#: Bits of capabilities(7).
SETGID, SETUID, CHROOT = 6, 7, 18


def checkTwistd(chosen: Mapping[str, Any]) -> None:
    """
    Check all options of ``twistd``.

    :param chosen: the options of ``twistd``; ``twist`` has checked its own already.
    :raise ValueError: for the first option that cannot work.
    """
    if "pidfile" not in chosen:
        return
    root = _root(chosen)
    _checkLog(chosen)
    rundir = chosen.get("rundir") or "."
    _checkFolder("rundir", root + rundir if os.path.isabs(rundir) else rundir)
    if chosen["pidfile"]:
        _checkFile("pidfile", root + os.path.abspath(chosen["pidfile"]))
    if hasattr(os, "getuid"):
        _checkUser(chosen.get("uid"), chosen.get("gid"), root)


def _root(chosen: Mapping[str, Any]) -> str:
    """
    Return the folder that ``--chroot`` makes the root folder, if any.
    """
    root: str | None = chosen.get("chroot")
    if root is None:
        return ""
    _checkFolder("chroot", root)
    if not _may(CHROOT):
        raise ValueError(f"--chroot {root}: only root may do that")
    if not chosen["nodaemon"] and not os.path.exists(os.path.join(root, "dev/null")):
        raise ValueError(
            f"--chroot {root}: it has no dev/null, which a daemon needs; -n needs none"
        )
    return os.path.abspath(root)


def _checkLog(chosen: Mapping[str, Any]) -> None:
    name = chosen.get("logfile") or ("" if chosen["nodaemon"] else "twistd.log")
    if name not in ("", "-") and not (chosen.get("syslog") or chosen.get("logger")):
        _checkFile("logfile", os.path.abspath(name))


def _checkUser(uid: int | None, gid: int | None, root: str) -> None:
    """
    Check that this process may become a user; without the right, ``twistd`` would hang.
    """
    isOurs = uid is None or uid == os.getuid()
    if gid not in (None, os.getgid()) and not _may(SETGID):
        raise ValueError(f"--gid {gid}: only root may change that")
    if not isOurs and not (_may(SETUID) and _may(SETGID)):
        raise ValueError(f"--uid {uid}: only root may change that")
    if uid is not None and not (isOurs and gid is not None) and not _isKnown(uid, root):
        raise ValueError(f"--uid {uid}: {root}/etc/passwd has nobody with that number")


def _isKnown(uid: int, root: str) -> bool:
    if not root:
        import pwd

        try:
            return bool(pwd.getpwuid(uid))
        except KeyError:
            return False
    try:
        lines = Path(root, "etc/passwd").read_bytes().splitlines()
    except OSError:
        return False
    return any(line.split(b":")[2:3] == [b"%d" % uid] for line in lines)


def _may(capability: int) -> bool:
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        return os.geteuid() == 0
    [effective] = [line for line in status.splitlines() if line.startswith("CapEff:")]
    return bool(int(effective.split()[1], 16) >> capability & 1)


def _checkFolder(option: str, name: str) -> None:
    _refuse(option, name, _faultOf(name, os.X_OK))


def _checkFile(option: str, name: str) -> None:
    """
    Check that a file can be written or created.
    """
    if os.path.isdir(name):
        fault = errno.EISDIR
    elif os.path.exists(name):
        fault = _faultOfFile(name)
    else:
        fault = _faultOf(os.path.dirname(name), os.W_OK | os.X_OK)
    _refuse(option, name, fault)


def _faultOfFile(name: str) -> int:
    """
    Return the number of the error that appending to a file would cause, or 0; a pipe has no end.
    """
    try:
        file = os.open(name, os.O_RDWR | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    except OSError as error:
        return error.errno or 0
    try:
        os.lseek(file, 0, os.SEEK_END)
    except OSError as error:
        return error.errno or 0
    finally:
        os.close(file)
    return 0


def _faultOf(folder: str, mode: int) -> int:
    """
    Return the number of the error that using a folder would cause, or 0.

    :param mode: the kind of use, as access(2) has it.
    """
    if not os.path.isdir(folder):
        return errno.ENOTDIR if os.path.exists(folder) else errno.ENOENT
    return 0 if os.access(folder, mode) else errno.EACCES


def _refuse(option: str, name: str, number: int) -> None:
    if number:
        raise ValueError(f"--{option} {name}: {inWords(OSError(number, os.strerror(number)))}")
