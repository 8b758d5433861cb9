"""
Which of several parts stand out (pure).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, log
from statistics import median

from attrs import evolve, frozen

from echotwist.probe.paths.significance import (
    blockedRanks,
    fisher,
    holm,
    logFisher,
    logOfWays,
    twoSided,
)

#: The chance that any part at all is accused of losses though all are alike; and the same
#: of times.
ALPHA = 0.01

#: By how much of all others' median, and by how many nanoseconds at least, that of a part
#: differs that stands out: what is less may be significant, and does not matter.
SHARE, LEAST = 0.05, 20_000

#: Rounds that times are judged by, at the least: sums of fewer ranks are not normal.
FEW = 8


@frozen
class Loss:
    """
    What was lost on one part.
    """

    sent: int
    lost: int


@frozen
class Finding:
    """
    What a test says of one part.

    :param chance: that this is chance, when all parts are looked at.
    :param sign: 1 if it has more than others, -1 if it has less, 0 if it does not stand out.
    :param difference: of the medians, in nanoseconds.
    """

    chance: float = 1.0
    sign: int = 0
    difference: float = 0.0


#: Tests some parts against each other, by their numbers; gives what it finds of each.
_Test = Callable[[list[int]], list[Finding]]


def lossy(parts: Sequence[Loss]) -> list[Finding]:
    """
    Find the parts that lose more than the others do.

    Those with the largest losses are held against the rest, for each number of them: a bad
    path may have one port or most of them.  There are many ways to choose so many, of which
    this is the worst, so the chance of chance is multiplied by how many (C. E. Bonferroni's
    bound), and once more for each number that is tried.  Of a group that stands out those
    parts are named of which each alone does, too, against the rest.
    """

    def test(some: list[int]) -> list[Finding]:
        order = sorted(some, key=lambda one: -parts[one].lost / max(1, parts[one].sent))
        groups = range(1, len(some))
        chance, size = min((_chanceOf(parts, order, size), size) for size in groups)
        rest = _sum(parts, order[size:])
        named = {
            one: _alone(parts[one], rest, len(some))
            for one in (order[:size] if chance < log(ALPHA) else [])
        }
        return [
            Finding(max(exp(min(0.0, chance)), named[one]), 1)
            if named.get(one, 1.0) < ALPHA
            else Finding(_alone(parts[one], rest, len(some)) if one in named else 1.0)
            for one in some
        ]

    return _apart(len(parts), test)


def _chanceOf(parts: Sequence[Loss], order: list[int], size: int) -> float:
    """
    Give the logarithm of the chance that any group of a size has so many losses.
    """
    group, rest = _sum(parts, order[:size]), _sum(parts, order[size:])
    chance = logFisher(group.lost, group.sent, group.lost + rest.lost, group.sent + rest.sent)
    # The reciprocals of 1 * 2, 2 * 3, 3 * 4 and so on have the sum 1.
    return chance + logOfWays(len(order), size) + log(size * (size + 1))


def _alone(part: Loss, rest: Loss, count: int) -> float:
    """
    Give the chance that any of some parts has as many losses as this one, if it is like the
    rest.
    """
    return min(
        1.0, count * fisher(part.lost, part.sent, part.lost + rest.lost, part.sent + rest.sent)
    )


def _sum(parts: Sequence[Loss], some: Sequence[int]) -> Loss:
    return Loss(sum(parts[one].sent for one in some), sum(parts[one].lost for one in some))


def slow(rounds: Sequence[Sequence[int | None]]) -> list[Finding]:
    """
    Find the parts that take longer than the others do, or not as long.

    :param rounds: of each, how long all parts took in nanoseconds; nothing for one that did
        not answer in time.
    """
    count = len(rounds[0]) if rounds else 0
    times = [[one[part] for one in rounds] for part in range(count)]
    known = [[value for value in column if value is not None] for column in times]

    def test(some: list[int]) -> list[Finding]:
        deviates = blockedRanks([[values[one] for one in some] for values in rounds])
        chances = holm([twoSided(one) for one in deviates])
        found = [
            _judged(known, some, one, chance, deviate)
            for one, chance, deviate in zip(some, chances, deviates, strict=True)
        ]
        # Where some are slow all others are fast: those that are fewer stand out.
        counts = {sign: sum(one.sign == sign for one in found) for sign in (1, -1)}
        many = -1 if counts[1] <= counts[-1] and counts[1] else 1
        isBoth = all(counts.values())
        return [evolve(one, sign=0) if isBoth and one.sign == many else one for one in found]

    return _apart(count, test)


def _judged(
    known: list[list[int]], some: list[int], one: int, chance: float, deviate: float
) -> Finding:
    if chance >= ALPHA or len(known[one]) < FEW:
        return Finding(chance)
    others = median(value for other in some if other != one for value in known[other])
    difference = median(known[one]) - others
    isClear = abs(difference) >= max(LEAST, SHARE * others) and difference * deviate > 0
    return Finding(chance, (1 if deviate > 0 else -1) * isClear, difference)


def _apart(count: int, test: _Test) -> list[Finding]:
    """
    Test all parts, then again those that do not stand out, until none does: one that is far
    out hides others.
    """
    found = [Finding()] * count
    left = list(range(count))
    while len(left) > 1:
        judged = dict(zip(left, test(left), strict=True))
        for one, finding in judged.items():
            found[one] = finding
        rest = [one for one in left if not judged[one].sign]
        if len(rest) == len(left):
            break
        left = rest
    return found


def leastLoss(parts: Sequence[Loss]) -> Loss | None:
    """
    Tell how much a part would have to lose to be named, if the others lost what those lose
    that are not.

    :return: nothing if even the loss of everything would not be enough.
    """
    found = lossy(parts)
    others = [part for part, one in zip(parts, found, strict=True) if not one.sign]
    sent = max((part.sent for part in parts), default=0)
    least, most = 1, sent + 1
    while least < most:
        middle = (least + most) // 2
        if lossy([*others, Loss(sent, middle)])[-1].sign:
            most = middle
        else:
            least = middle + 1
    return Loss(sent, least) if least <= sent else None


def shareOf(count: int, parts: int) -> tuple[float, float]:
    """
    Tell what share of all ports in the world a path may have that so many of them use: a
    range that holds it in 95 of 100 cases (E. B. Wilson's interval).
    """
    z = 1.959964
    middle, square = count / parts, z * z / parts
    half = z * (middle * (1 - middle) / parts + square / parts / 4) ** 0.5
    whole = 1 + square
    return max(0.0, (middle + square / 2 - half) / whole), (middle + square / 2 + half) / whole
