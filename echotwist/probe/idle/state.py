"""
A file that keeps what a search knows, so that another process can go on with it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from echotwist.probe.idle.result import trialFrom, trialOf
from echotwist.probe.idle.search import Trial
from echotwist.probe.places import ProbeError
from echotwist.probe.stdout import WriteError
from echotwist.sockets.errors import inWords

_SCHEMA, _VERSION = "echoprobe-idle-state", 1

#: What a search is known by: its target, its mode, and the seconds between keepalives.
Key = tuple[str, str, int | None]


class State:
    """
    Keep trials.

    :param path: of the file; it need not be there yet.
    :param targets: that are tried.
    :raise ProbeError: the file is of something else, or cannot be read or written.
    """

    def __init__(self, path: str, targets: Sequence[str]) -> None:
        self._path = Path(path)
        self._targets = list(targets)
        self._trials: dict[Key, list[Trial]] = {}
        try:
            if os.path.lexists(path):
                self._read()
            self._write()
        except OSError as error:
            raise self._fault(inWords(error)) from None

    def _fault(self, words: str) -> ProbeError:
        return ProbeError(f"--state {self._path}: {words}")

    def _read(self) -> None:
        if not self._path.is_file():
            raise self._fault("not a file")
        try:
            found = json.loads(self._path.read_bytes())
            if (found["schema"], found["version"]) != (_SCHEMA, _VERSION):
                raise ValueError(found)
            targets = list(map(str, found["targets"]))
            self._trials = dict(map(_searchFrom, found["searches"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._fault("not written by echoprobe idle") from None
        if targets != self._targets:
            raise self._fault(
                f"it belongs to {' '.join(targets)}, not to {' '.join(self._targets)}"
            )

    def trials(self, key: Key) -> list[Trial]:
        """
        Give those of a search.
        """
        return self._trials.get(key, [])

    def keep(self, key: Key, trials: Sequence[Trial]) -> None:
        """
        Keep those of a search.

        :raise WriteError: the file takes no more.
        """
        self._trials[key] = list(trials)
        try:
            self._write()
        except OSError as error:
            raise WriteError(error.errno, f"--state {self._path}: {error.strerror}") from None

    def _write(self) -> None:
        """
        Write all of it: a reader finds what was there before, or all of the new.
        """
        searches = [_valuesOf(*one) for one in self._trials.items()]
        values = {"schema": _SCHEMA, "version": _VERSION, "targets": self._targets}
        path = os.path.realpath(self._path)
        new = f"{path}.new"
        try:
            with open(new, "w") as file:
                json.dump({**values, "searches": searches}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, path)
        except OSError:
            with suppress(OSError):
                os.unlink(new)
            raise


def _valuesOf(key: Key, trials: Sequence[Trial]) -> dict[str, Any]:
    target, mode, keepalive = key
    told = list(map(trialOf, trials))
    return {"target": target, "mode": mode, "keepalive": keepalive, "trials": told}


def _searchFrom(values: Mapping[str, Any]) -> tuple[Key, list[Trial]]:
    key = values["target"], values["mode"], values["keepalive"]
    return key, list(map(trialFrom, values["trials"]))
