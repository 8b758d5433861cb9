"""
The kinds of values of the probe's options.
"""

from __future__ import annotations

import re

from attrs import frozen

from echotwist.commandline.declaration import Kind, Texts
from echotwist.probe.verdict import Metrics, verdictOf

#: Bytes of a probe: what UDP over IPv4 can carry, and more for streams.
SIZES = range(16 * 2**20 + 1)

#: Bytes of a probe by default.
SIZE = 64

#: How many probes there may be, and how many a second.
COUNTS = range(1, 10**9 + 1)
LEAST_A_SECOND, MOST_A_SECOND = 0.000001, 100_000

#: Probes that may be under way at a time: each of them takes some 80 bytes.
UNDER_WAY = 2**22

#: Bytes of a seed: BLAKE2b takes no longer keys (RFC 7693, section 2.1).
_SEED = 64

#: Probes a second to strangers that are allowed without ``--flood``.
COURTEOUS = 1000

#: Code points with names (RFC 2474, 2597, 3246, 5865, 8622).
DSCP = {
    "le": 1,
    **{f"cs{n}": 8 * n for n in range(8)},
    **{f"af{n}{drop}": 8 * n + 2 * drop for n in range(1, 5) for drop in range(1, 4)},
    "va": 44,
    "ef": 46,
}


@frozen
class Rate(Kind):
    """
    Probes a second.
    """

    takes = "number"

    def parse(self, name: str, text: str) -> float:
        """
        Parse digits, with or without a decimal point.
        """
        isFigures = re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,10})?", text)
        if not isFigures or not _isRate(float(text)):
            raise ValueError(_rateFault(name, text))
        return float(text)

    def check(self, name: str, value: object) -> None:
        """
        Check that a process can send so many probes a second.
        """
        if not _isRate(value):
            raise ValueError(_rateFault(name, value))


def _isRate(value: object) -> bool:
    return isinstance(value, int | float) and LEAST_A_SECOND <= value <= MOST_A_SECOND


def _rateFault(name: str, value: object) -> str:
    return f"{name} {value}: not a number from {LEAST_A_SECOND:f} to {MOST_A_SECOND:,}"


@frozen
class Seed(Kind):
    """
    A text that payloads depend on.
    """

    takes = "text"

    def parse(self, name: str, text: str) -> str:
        """
        Take a text.
        """
        self.check(name, text)
        return text

    def check(self, name: str, value: object) -> None:
        """
        Check that it is not too long.
        """
        size = len(str(value).encode("utf-8", "surrogateescape"))
        if size > _SEED:
            raise ValueError(f"{name}: {size} bytes, more than {_SEED}")


@frozen
class Picture(Kind):
    """
    A file to draw into.
    """

    takes = "path"

    def parse(self, name: str, text: str) -> str:
        """
        Take a path whose ending names a format that can be drawn.
        """
        self.check(name, text)
        return text

    def check(self, name: str, value: object) -> None:
        """
        Check the ending of the path.
        """
        if not str(value).lower().endswith((".svg", ".png")):
            raise ValueError(f"{name} {value}: it ends neither in .svg nor in .png")


@frozen
class Conditions(Texts):
    """
    Any number of conditions under which a measurement has failed.

    :param metrics: the metrics that a condition may name.
    """

    takes = "condition"
    metrics: Metrics

    def read(self, text: str) -> None:
        """
        Check that a text is a condition.
        """
        verdictOf(text, self.metrics)
