"""
Write the results of a watch: as ``ping`` does, but in a line for each target.
"""

from __future__ import annotations

from typing import Any, TextIO

from echotwist.probe import output
from echotwist.probe.output import Text
from echotwist.probe.watch.live import Summary, Table
from echotwist.probe.watch.text import textOf


def writerFor(settings: Any, file: TextIO) -> Any:
    """
    Return the writer for the chosen format.
    """
    made = output.writerFor(settings, file)
    if isinstance(made, Text):
        made = Text(file, textOf)
    made.views = Table, Summary
    return made
