"""
Try out a worker while the service can still show the user that it cannot start.

The process has all that a worker has, but ends before it serves.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.python.util import switchUID

from echotwist.sockets.errors import StartError, inWords

#: Seconds that a worker may take to start.
START_TIMEOUT = 60.0

#: The status of a process that cannot take its root folder, user or group.
NOT_BECOME = 126

#: How many characters of another program's message are shown.
SHOWN_CHARACTERS = 500


@frozen
class Identity:
    """
    The identity that ``twistd`` gives the process between opening and starting the service.

    :param chroot: the root folder, if it changes.
    :param uid: the number of the user, if it changes.
    :param gid: the number of the group, if it changes.
    :param euid: change only the effective user and group.
    """

    chroot: str | None = None
    uid: int | None = None
    gid: int | None = None
    euid: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any], process: Any) -> Identity:
        """
        Read the identity from options and application.

        :param options: the options of ``twistd`` itself, as far as they are known.
        :param process: the application (``IProcess``), if there is one.
        """
        uid, gid = (
            getattr(process, name, None) if options.get(name) is None else options[name]
            for name in ("uid", "gid")
        )
        return cls(options.get("chroot"), uid, gid, bool(options.get("euid")))

    def become(self) -> None:
        """
        Take this identity, as ``twistd`` will; or end the process with a message.
        """
        try:
            if self.chroot is not None:
                os.chroot(self.chroot)
                os.chdir("/")
            if self.uid is not None or self.gid is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    switchUID(self.uid, self._group(), self.euid)
        except (OSError, KeyError) as error:
            why = inWords(error) if isinstance(error, OSError) else str(error.args[0])
            os.write(2, f"it cannot become what --chroot, --uid and --gid say: {why}".encode())
            os._exit(NOT_BECOME)

    def _group(self) -> int | None:
        if self.uid is None or self.gid is not None:
            return self.gid
        from pwd import getpwuid

        return getpwuid(self.uid).pw_gid

    @property
    def hint(self) -> str:
        """
        What helps, if the identity changes.
        """
        if self.chroot is not None:
            return f"; Python, echotwist and all files must be found in {self.chroot}"
        if self.uid is not None or self.gid is not None:
            return "; that user must be able to read Python, echotwist and the keys of TLS"
        return ""


def tryOut(
    command: Sequence[str],
    environment: Mapping[str, str],
    plan: bytes,
    files: Sequence[int],
    identity: Identity,
) -> None:
    """
    Start a worker that ends as soon as it could serve.

    :param plan: the pickled plan, which it reads from its standard input.
    :param files: the descriptors to pass on.
    :raise StartError: it cannot start.
    """
    hint = identity.hint
    try:
        run = subprocess.run(
            command,
            env=environment,
            input=plan,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=files,
            preexec_fn=identity.become if hint else None,
            timeout=START_TIMEOUT,
            check=False,
        )
    except OSError as error:
        why = f"{command[0]}: {inWords(error)}"
    except subprocess.TimeoutExpired:
        why = f"it takes longer than {START_TIMEOUT:.0f} seconds"
    else:
        if run.returncode == 0:
            return
        why = _whyEnded(run)
        hint = "" if run.returncode == NOT_BECOME else hint
    raise StartError(f"a worker cannot start: {why}{hint}")


def _whyEnded(run: subprocess.CompletedProcess[bytes]) -> str:
    said = lastWords(run.stderr.decode("utf-8", "replace").splitlines())
    number = -run.returncode if run.returncode < 0 else None
    return said or f"it {howEnded(run.returncode, number)}"


def lastWords(lines: Iterable[str]) -> str:
    """
    Choose the line that tells the error, of all the last output of a process.
    """
    said = [" ".join(line.split()) for line in lines if line.strip() and not line[0].isspace()]
    telling = [line for line in said if re.search(r"^echo: |[Ee]rror\b", line)]
    return (telling or said or [""])[-1].removeprefix("echo: ")[:SHOWN_CHARACTERS]


def howEnded(status: int | None, number: int | None) -> str:
    """
    Describe how a process ended.

    :param number: the number of the signal that ended it, if one did.
    """
    if number is None:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(number).name}"
    except ValueError:  # a real-time signal
        return f"was ended by signal {number}"
