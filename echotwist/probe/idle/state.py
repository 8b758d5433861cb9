"""
Keep the outcomes of a search in a file, so that another process can continue it.
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

#: The key of a search: its target, its mode, and the seconds between keepalives.
Key = tuple[str, str, int | None]


class State:
    """
    The outcomes of all searches, and their file.

    :param path: the path of the file, which need not exist yet.
    :param targets: the targets of the searches.
    :raise ProbeError: the file has something else, or cannot be read or written.
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
        Return the trials of a search.
        """
        return self._trials.get(key, [])

    def keep(self, key: Key, trials: Sequence[Trial]) -> None:
        """
        Keep the trials of a search.

        :raise WriteError: the file cannot be written.
        """
        self._trials[key] = list(trials)
        try:
            self._write()
        except OSError as error:
            raise WriteError(error.errno, f"--state {self._path}: {error.strerror}") from None

    def _write(self) -> None:
        """
        Replace the file at once: a reader finds either the old outcomes or the new ones.
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
