"""
Draw plots into a file; this needs matplotlib.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from echotwist.probe.places import ProbeError
from echotwist.probe.stdout import WriteError
from echotwist.sockets.errors import inWords

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)

#: Inches: the width of a drawing, and the height of each of its rows.
_WIDTH, _HEIGHT = 10.0, 3.2


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

    def save(self, rows: int, draw: Callable[[Any], None]) -> None:
        """
        Draw the plots, and write the file.

        :param rows: how many plots there are, one above the other.
        :param draw: draws into a figure of matplotlib.
        :raise WriteError: the file cannot be written.
        """
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        style: Any = {"svg.fonttype": "none", "svg.hashsalt": "echoprobe", "font.size": 9}
        style["text.parse_math"] = False  # A name may have dollar signs,
        with rc_context(style), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # or letters that the font has not.
            figure = Figure((_WIDTH, _HEIGHT * rows), layout="constrained", dpi=120)
            draw(figure)
            isText = self._path.lower().endswith(".svg")
            metadata = {"Date": None} if isText else {}
            try:
                figure.savefig(self._path, metadata=metadata)
            except OSError as error:
                words = f"--plot {self._path}: {error.strerror}"
                raise WriteError(error.errno, words) from None
