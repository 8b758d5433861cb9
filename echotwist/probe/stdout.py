"""
The standard output, whose faults are told apart from all others.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any

#: The descriptor of the standard output.
_OUTPUT = 1


class WriteError(OSError):
    """
    The standard output takes no more.
    """


class _Output(FileIO):
    """
    Writes, or says that it was writing that failed.
    """

    def write(self, data: Any) -> int:
        """
        Write bytes.
        """
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise WriteError(error.errno, error.strerror) from None


def standardOutput() -> TextIOWrapper:
    """
    Open the standard output anew.
    """
    encoding = "utf-8"
    if sys.stdout is None:  # It was closed: then nobody reads, as with /dev/null.
        discard()
    else:
        encoding = sys.stdout.encoding
    raw = BufferedWriter(_Output(_OUTPUT, "w", closefd=False))
    # What a locale has no letter for is written with a backslash.
    return TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=os.isatty(_OUTPUT))


def discard() -> None:
    """
    Write to nowhere from now on: what could not be written is not tried again.
    """
    with suppress(OSError):  # Too many files may be open.
        os.dup2(os.open(os.devnull, os.O_WRONLY), _OUTPUT)
