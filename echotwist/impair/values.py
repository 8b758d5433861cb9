"""
The values of the words of ``--impair``, and their parsers.

The units are those of tc-netem(8) and tc(8), where these have them.
"""

from __future__ import annotations

import re
from math import inf

from attrs import frozen

#: Seconds; no delay is longer.
LONGEST_DELAY = 3600.0

#: Bytes of the smallest and the largest piece of a stream.
PIECES = range(1, 65537)

#: Bits a second, by the letter before ``bit`` (tc(8)).
_BITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}

#: Bytes, by the letter after a size (tc(8)).
_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}

#: Seconds, by their unit.
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


@frozen
class Loss:
    """
    A model of loss with two states, good at first (Gilbert-Elliott, ``gemodel`` of
    tc-netem(8)).  Independent losses need only the good one.

    :param toBad: share of the datagrams in the good state after which it turns bad.
    :param toGood: share of the datagrams in the bad state after which it turns good.
    :param inBad: share of the datagrams lost in the bad state.
    :param inGood: share of the datagrams lost in the good state.
    """

    toBad: float = 0.0
    toGood: float = 1.0
    inBad: float = 1.0
    inGood: float = 0.0


@frozen
class Jitter:
    """
    How a delay varies.

    :param seconds: the largest deviation; or the standard deviation of a normal distribution.
    :param isNormal: the distribution is normal, not uniform.
    """

    seconds: float = 0.0
    isNormal: bool = False


@frozen
class Cut:
    """
    How datagrams are cut.

    :param share: share of the datagrams that are cut at a random length.
    :param most: the most bytes left of any datagram; ``None`` for no limit.
    """

    share: float = 0.0
    most: int | None = None


@frozen
class Ending:
    """
    When a connection goes wrong.

    :param after: how many bytes are echoed first.
    :param share: share of the connections that go wrong.
    """

    after: int = 0
    share: float = 0.0


def shareOf(text: str) -> float:
    """
    Parse a share: from 0 to 1.
    """
    found = re.fullmatch(
        r"(\d{1,3}(?:\.\d{1,20})?)%|([01]?\.\d{1,20}|0|\d(?:\.\d+)?e-\d{1,2})", text, re.ASCII
    )
    value = (float(found[1]) / 100 if found[1] else float(found[2])) if found else inf
    if value > 1:
        raise ValueError("not a share from 0% to 100%, such as 1%, 0.01 or 1e-6")
    return value


def lossOf(text: str) -> Loss:
    """
    Parse a model of loss.
    """
    model, *rest = text.split(":")
    if model != "gilbert":
        return Loss(inGood=shareOf(text))
    if not 2 <= len(rest) <= 4:
        raise ValueError("gilbert takes 2 to 4 shares: to bad, to good, lost in bad, lost in good")
    return Loss(*map(shareOf, rest))


def timeOf(text: str) -> float:
    """
    Parse a time, in seconds.
    """
    found = re.fullmatch(r"(\d{1,10}(?:\.\d{1,10})?)(s|ms|us)", text, re.ASCII)
    value = float(found[1]) * _SECONDS[found[2]] if found else inf
    if value > LONGEST_DELAY:
        raise ValueError("not a time up to an hour with its unit, such as 50ms, 1.5s or 200us")
    return value


def jitterOf(text: str) -> Jitter:
    """
    Parse how a delay varies.
    """
    kind, colon, time = text.rpartition(":")
    if colon and kind not in ("uniform", "normal"):
        raise ValueError("not uniform or normal, such as normal:10ms")
    return Jitter(timeOf(time), kind == "normal")


def sizeOf(text: str) -> int:
    """
    Parse a number of bytes.
    """
    found = re.fullmatch(r"(\d{1,12})([kmg]?)", text, re.ASCII)
    if not found:
        raise ValueError("not a number of bytes, such as 1400, 10k or 1m")
    return int(found[1]) * _BYTES[found[2]]


def cutOf(text: str) -> Cut:
    """
    Parse how datagrams are cut.
    """
    return Cut(share=shareOf(text)) if re.search(r"[%.e]", text) else Cut(most=sizeOf(text))


def rateOf(text: str) -> float:
    """
    Parse a rate, in bits a second.
    """
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)([kmg]?)bit", text, re.ASCII)
    value = float(found[1]) * _BITS[found[2]] if found else 0.0
    if value < 1:
        raise ValueError("not a rate in bits a second, such as 64kbit or 1.5mbit")
    return value


def chunkOf(text: str) -> tuple[int, int]:
    """
    Parse the smallest and the largest size of a piece, in bytes.
    """
    found = re.fullmatch(r"(\d{1,5})(?:\.\.(\d{1,5}))?", text, re.ASCII)
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if least not in PIECES or most not in PIECES or least > most:
        raise ValueError(f"not a number of bytes up to {PIECES[-1]}, or two, such as 1..3")
    return least, most


def endingOf(text: str) -> Ending:
    """
    Parse when a connection goes wrong.
    """
    word, colon, size = text.partition(":")
    if colon and word == "after":
        return Ending(sizeOf(size), 1.0)
    try:
        return Ending(share=shareOf(text))
    except ValueError:
        raise ValueError("not after:BYTES or a share, such as after:10k or 5%") from None


def closeOf(text: str) -> Ending:
    """
    Parse when a connection is closed, or ``early``.
    """
    return Ending(1, 1.0) if text == "early" else endingOf(text)


def isIgnored(text: str) -> bool:
    """
    Parse whether a half-close is ignored.
    """
    if text != "ignore":
        raise ValueError("a half-close can only be ignored: halfclose=ignore")
    return True


def seedOf(text: str) -> int:
    """
    Parse a seed.
    """
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise ValueError("not a whole number of up to 18 figures")
    return int(text)
