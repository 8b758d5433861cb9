"""
Find the parts that differ from the others (pure).
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

#: The chance that a test names any part although all are alike; it holds for the test of
#: losses and for that of times.
ALPHA = 0.01

#: By how much the median of a part must differ to be named: a share of the others' median,
#: and nanoseconds.  A smaller difference may be significant, and does not matter.
SHARE, LEAST = 0.05, 20_000

#: Rounds at least for a test of times: sums of fewer ranks are not normally distributed.
FEW = 8


@frozen
class Loss:
    """
    The losses of one part.
    """

    sent: int
    lost: int


@frozen
class Finding:
    """
    The result of a test for one part.

    :param chance: the probability of this result by chance, adjusted for the number of parts.
    :param sign: 1 if the part has more than the others, -1 if less, 0 if it is like them.
    :param difference: from the median of the others, in nanoseconds.
    """

    chance: float = 1.0
    sign: int = 0
    difference: float = 0.0


#: Tests the parts of these numbers against each other, and returns a finding for each.
_Test = Callable[[list[int]], list[Finding]]


def lossy(parts: Sequence[Loss]) -> list[Finding]:
    """
    Find the parts that lose more than the others.

    The parts with the largest losses are compared with the rest: one part, two parts, and so
    on, as a bad path may have one port or most of them.  The chance of each result is
    multiplied by the number of groups of that size (C. E. Bonferroni's bound), as this group is
    the worst of them, and then adjusted for the number of sizes.  A part of a significant group
    is named only if it is significant alone against the rest.
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
    Return the logarithm of the chance that any group of a size has at least so many losses.
    """
    group, rest = _sum(parts, order[:size]), _sum(parts, order[size:])
    chance = logFisher(group.lost, group.sent, group.lost + rest.lost, group.sent + rest.sent)
    # 1/(1*2) + 1/(2*3) + 1/(3*4) + ... is 1.
    return chance + logOfWays(len(order), size) + log(size * (size + 1))


def _alone(part: Loss, rest: Loss, count: int) -> float:
    """
    Return the chance that any of some parts has at least as many losses as this one, if all
    lose alike.
    """
    return min(
        1.0, count * fisher(part.lost, part.sent, part.lost + rest.lost, part.sent + rest.sent)
    )


def _sum(parts: Sequence[Loss], some: Sequence[int]) -> Loss:
    return Loss(sum(parts[one].sent for one in some), sum(parts[one].lost for one in some))


def slow(rounds: Sequence[Sequence[int | None]]) -> list[Finding]:
    """
    Find the parts that are slower or faster than the others.

    :param rounds: for each, the round trips of all parts in nanoseconds; ``None`` for a part
        that did not answer in time.
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
        # Slow parts make the others look fast: name the side with fewer parts.
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
    Test all parts, then again those not named yet, until a test names none: a very bad part
    hides one that is less bad.
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
    Return the smallest loss for which a part would be named, if the others lost as much as
    the parts that are not named.

    :return: ``None`` if not even the loss of all probes is enough.
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
    Estimate the share of all ports that take a path, if it has so many of these: the 95 %
    confidence interval (E. B. Wilson).
    """
    z = 1.959964
    middle, square = count / parts, z * z / parts
    half = z * (middle * (1 - middle) / parts + square / parts / 4) ** 0.5
    whole = 1 + square
    return max(0.0, (middle + square / 2 - half) / whole), (middle + square / 2 + half) / whole
