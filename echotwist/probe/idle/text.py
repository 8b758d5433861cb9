"""
The results of a search for the longest silence as text for a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from echotwist.probe.schedule import SECOND
from echotwist.probe.text import report

#: Columns of targets and of modes.
_TARGET, _MODE = 24, 10


class Text:
    """
    Write text for a person, with the outcome of each flow as soon as it is known.

    :param file: the file to write to.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def tell(self, found: Mapping[str, Any]) -> None:
        """
        Write the outcome of a flow.
        """
        became = "survived" if found["ending"] is None else f"ended: {found['reason']}"
        name = f"{found['target']:{_TARGET}} {found['mode']:{_MODE}}"
        self._say(f"{name} {seconds(found['silenceNs']):>9}  {became}")

    def end(self, found: Mapping[str, Any]) -> None:
        """
        Write all results.
        """
        self._say(report(found, _result))

    def _say(self, text: str) -> None:
        print(text, file=self._file, flush=True)


def seconds(nanoseconds: int) -> str:
    """
    Format a time.
    """
    return f"{nanoseconds / SECOND:.10g} s"


def _result(result: Mapping[str, Any]) -> Iterator[str]:
    every = result["keepaliveNs"]
    mode = f"{result['mode']} every {seconds(every)}" if every else result["mode"]
    yield f"{result['target']} ({result['address']}), {mode}"
    yield from (f"  {line}" for line in _lines(result))


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    survived, ended = result["survivedNs"], result["endedNs"]
    if survived is None:
        yield "nothing is known yet"
    elif survived:
        yield f"a silence of {seconds(survived)} survived"
    else:
        yield "no silence survived"
    if ended is not None:
        yield f"a silence of {seconds(ended)} did not: {result['reason']}"
    elif survived and result["kind"] == "udp":
        yield "over UDP a NAT that forgot the flow may have made a new one: the probe cannot notice"
    if result["fault"]:
        yield f"the service does not answer: {result['fault']}"
    if not result["isDone"]:
        yield "the search is not over"
    elif survived and ended and not result["keepaliveNs"]:
        yield f"send something every {seconds(survived // 2)} or more often to keep such a flow"
