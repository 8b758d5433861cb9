"""
The standard output, with errors of its own kind.
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
    The standard output, or a file, cannot be written.
    """


class _Output(FileIO):
    """
    A raw file that raises :class:`WriteError` when writing fails.
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
    Open the standard output again.
    """
    encoding = "utf-8"
    if sys.stdout is None:  # It was closed: act as with /dev/null.
        discard()
    else:
        encoding = sys.stdout.encoding
    raw = BufferedWriter(_Output(_OUTPUT, "w", closefd=False))
    # A letter that the locale cannot encode is written with a backslash.
    return TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=os.isatty(_OUTPUT))


def discard() -> None:
    """
    Write to /dev/null from now on, so that unwritten output is not tried again.
    """
    with suppress(OSError):  # Too many files may be open.
        os.dup2(os.open(os.devnull, os.O_WRONLY), _OUTPUT)
