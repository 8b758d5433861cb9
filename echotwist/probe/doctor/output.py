"""
Write the findings of an examination.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Mapping
from typing import Any, TextIO

from echotwist.probe.doctor.findings import NOT_APPLICABLE, OK, WRONG

#: Columns of states and of names; and the width of a line.
_STATE, _NAME, _LINE = 15, 17, 100


class Text:
    """
    Write text for a person, each finding as soon as it is known.

    :param file: the file to write to.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def begin(self, result: Mapping[str, Any]) -> None:
        """
        Name the target.
        """
        self._say(f"{result['target']} ({result['address']})")

    def tell(self, found: Mapping[str, Any]) -> None:
        """
        Write a finding.
        """
        self._say(f"  {found['state']:{_STATE}}{found['name']:{_NAME}}{found['reason']}")
        if found["advice"]:
            indent = " " * (2 + _STATE + _NAME)
            for line in textwrap.wrap(found["advice"], _LINE - len(indent), break_on_hyphens=False):
                self._say(indent + line)

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Write how many findings there are of each state.
        """
        counts = Counter(one["state"] for result in report["results"] for one in result["checks"])
        self._say(", ".join(f"{counts[state]} {state}" for state in (OK, WRONG, NOT_APPLICABLE)))

    def _say(self, line: str) -> None:
        print(line, file=self._file, flush=True)


class Json:
    """
    Write all findings as one JSON object, at the end.

    :param file: the file to write to.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def begin(self, result: Mapping[str, Any]) -> None:
        """
        Do nothing: the object comes at the end.
        """

    def tell(self, found: Mapping[str, Any]) -> None:
        """
        Do nothing: the object comes at the end.
        """

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Write the object.
        """
        print(json.dumps(report), file=self._file, flush=True)
