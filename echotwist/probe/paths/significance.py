"""
Statistical tests (pure).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import erfc, exp, lgamma, log, sqrt

#: Terms smaller than this share of a sum are left out.
_NEGLIGIBLE = 1e-17


def fisher(lost: int, sent: int, lostInAll: int, sentInAll: int) -> float:
    """
    Return the probability of at least so many losses on one of several parts, if each probe is
    as likely to get lost as any other (R. A. Fisher's exact test, one-sided: the tail of the
    hypergeometric distribution).

    :param lost: losses of that part.
    :param sent: probes of that part.
    """
    return exp(logFisher(lost, sent, lostInAll, sentInAll))


def logFisher(lost: int, sent: int, lostInAll: int, sentInAll: int) -> float:
    """
    Return the logarithm of :func:`fisher`, which may be too small for a float.
    """
    kept = sentInAll - lostInAll
    first, last = max(lost, sent - kept, 0), min(sent, lostInAll)
    if first <= max(0, sent - kept):
        return 0.0
    # Each term of the tail follows from the one before; stop when they are negligible.
    term = total = 1.0
    for some in range(first, last):
        term *= (lostInAll - some) * (sent - some) / ((some + 1) * (kept - sent + some + 1))
        total += term
        if term < _NEGLIGIBLE * total:
            break
    start = logOfWays(lostInAll, first) + logOfWays(kept, sent - first)
    return min(0.0, start - logOfWays(sentInAll, sent) + log(total))


def logOfWays(many: int, some: int) -> float:
    """
    Return the logarithm of the number of ways to choose ``some`` of ``many``.
    """
    return lgamma(many + 1) - lgamma(some + 1) - lgamma(many - some + 1)


def ranks(values: Sequence[float]) -> list[float]:
    """
    Rank values from 1 on; equal values share the mean of their ranks.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    found, place = [0.0] * len(values), 0
    for _, equal in groupby(order, key=values.__getitem__):
        some = list(equal)
        for one in some:
            found[one] = place + (len(some) + 1) / 2
        place += len(some)
    return found


def twoSided(z: float) -> float:
    """
    Return the probability that a standard normal deviate is at least as far from 0.
    """
    return erfc(abs(z) / sqrt(2))


def blockedRanks(rounds: Sequence[Sequence[float | None]]) -> list[float]:
    """
    Compare parts that were measured at about the same time, round after round.  In each round
    the values are ranked; the sum of the ranks of each part is compared with what chance would
    give (M. Friedman's test, one part against all others).  A change from one round to the next
    does not count.

    :param rounds: for each, the values of all parts; ``None`` for a part without a value.
    :return: the standard normal deviate of each part, positive for a part with large values.
    """
    parts = len(rounds[0]) if rounds else 0
    excess, variance = [0.0] * parts, [0.0] * parts
    for values in rounds:
        there = [(part, value) for part, value in enumerate(values) if value is not None]
        found = ranks([value for _, value in there])
        mean = (len(there) + 1) / 2
        spread = sum((rank - mean) ** 2 for rank in found) / len(there) if there else 0.0
        for (part, _), rank in zip(there, found, strict=True):
            excess[part] += rank - mean
            variance[part] += spread
    return [
        some / sqrt(square) if square > 0 else 0.0
        for some, square in zip(excess, variance, strict=True)
    ]


def holm(chances: Sequence[float]) -> list[float]:
    """
    Adjust the probabilities of several tests for their number (S. Holm's method), however the
    tests depend on each other.
    """
    order = sorted(range(len(chances)), key=chances.__getitem__)
    found, least = [1.0] * len(chances), 0.0
    for place, one in enumerate(order):
        least = max(least, min(1.0, chances[one] * (len(chances) - place)))
        found[one] = least
    return found
