"""
Draw plots into a file; this needs matplotlib.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from typing import Any

from echotwist.probe.places import ProbeError
from echotwist.probe.stdout import WriteError
from echotwist.probe.words import PROGRAM
from echotwist.sockets.errors import inWords

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)

#: Inches: the width of a drawing, and the height of each of its rows.
_WIDTH, _HEIGHT = 10.0, 3.2

#: How many results to draw at most: a picture has 65,536 pixels (matplotlib's Agg), and takes
#: 0.1 to 0.3 seconds for each.
ROWS = 100

#: Draws some results into a figure.
Draw = Callable[[Sequence[Mapping[str, Any]], Any], None]


class Drawing:
    """
    Draw into a file.

    :param path: the path of the file; its ending chooses the format.
    :raise ProbeError: matplotlib is missing, or the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        if find_spec("matplotlib") is None:
            hint = "pip install 'echotwist[probe]'"
            raise ProbeError(f"--plot {path}: drawing needs matplotlib: {hint}")
        isNew = not os.path.lexists(path)
        try:
            # A FIFO that nobody reads from must not be waited for.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | _AT_ONCE, 0o666))
            if isNew:  # The file appears only when it is drawn.
                os.unlink(path)
        except OSError as error:
            raise ProbeError(f"--plot {path}: {inWords(error)}") from None

    def save(self, results: Sequence[Mapping[str, Any]], draw: Draw) -> None:
        """
        Draw the results of a report, each in a row, and write the file.

        ^C ends the process at once meanwhile, and leaves the file as it was.

        :param draw: draws some results into a figure of matplotlib.
        :raise WriteError: the file cannot be written.
        """
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        with _endedBySignals(self._path):
            picture = self._drawn(results, draw)
        try:
            with open(self._path, "wb") as file:
                file.write(picture)
        except OSError as error:
            words = f"--plot {self._path}: {error.strerror}"
            raise WriteError(error.errno, words) from None

    def _drawn(self, results: Sequence[Mapping[str, Any]], draw: Draw) -> bytes:
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        shown, picture = results[:ROWS], BytesIO()
        style: Any = {"svg.fonttype": "none", "svg.hashsalt": "echoprobe", "font.size": 9}
        style["text.parse_math"] = False  # A name may have dollar signs,
        with rc_context(style), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # or letters that the font has not.
            figure = Figure((_WIDTH, _HEIGHT * len(shown)), layout="constrained", dpi=120)
            if len(results) > len(shown):
                figure.suptitle(f"the first {len(shown)} of {len(results)}")
            draw(shown, figure)
            kind = self._path[-3:].lower()
            metadata = {"Date": None} if kind == "svg" else {}
            figure.savefig(picture, format=kind, metadata=metadata)
        return picture.getvalue()


@contextmanager
def _endedBySignals(path: str) -> Iterator[None]:
    """
    Let a signal that would end the measurement end the process: it is over, and no reactor
    hears of signals while a plot is drawn.
    """
    heard = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    for number in heard:
        signal.signal(number, partial(_end, path))
    try:
        yield
    finally:
        for number, before in heard.items():
            signal.signal(number, before)


def _end(path: str, number: int, frame: object) -> None:
    with suppress(OSError):  # The terminal may be gone.
        print(f"{PROGRAM}: --plot {path}: interrupted, not drawn", file=sys.stderr, flush=True)
    os._exit(128 + number)
