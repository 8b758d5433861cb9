"""
Where what an examination finds is written to.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Mapping
from typing import Any, TextIO

from echotwist.probe.doctor.findings import NOT_APPLICABLE, OK, WRONG

#: Columns of states and of names; and of a line that a terminal shows.
_STATE, _NAME, _LINE = 15, 17, 100


class Text:
    """
    Write for a person, each finding as soon as it is there.

    :param file: where to.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def begin(self, result: Mapping[str, Any]) -> None:
        """
        Say what is looked at.
        """
        self._say(f"{result['target']} ({result['address']})")

    def tell(self, found: Mapping[str, Any]) -> None:
        """
        Say what was found.
        """
        self._say(f"  {found['state']:{_STATE}}{found['name']:{_NAME}}{found['reason']}")
        if found["advice"]:
            indent = " " * (2 + _STATE + _NAME)
            for line in textwrap.wrap(found["advice"], _LINE - len(indent), break_on_hyphens=False):
                self._say(indent + line)

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Sum up.
        """
        counts = Counter(one["state"] for result in report["results"] for one in result["checks"])
        self._say(", ".join(f"{counts[state]} {state}" for state in (OK, WRONG, NOT_APPLICABLE)))

    def _say(self, line: str) -> None:
        print(line, file=self._file, flush=True)


class Json:
    """
    Write all that was found as one JSON object, in the end.

    :param file: where to.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def begin(self, result: Mapping[str, Any]) -> None:
        """
        Say nothing yet.
        """

    def tell(self, found: Mapping[str, Any]) -> None:
        """
        Say nothing yet.
        """

    def end(self, report: Mapping[str, Any]) -> None:
        """
        Write it.
        """
        print(json.dumps(report), file=self._file, flush=True)
