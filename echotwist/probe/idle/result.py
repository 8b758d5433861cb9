"""
The results of a search for the longest silence as plain values (pure): ``schema.json``
describes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from echotwist.probe.idle.search import Search, Trial
from echotwist.probe.verdict import Metrics

#: A time in the file must be below this: it fits into 64 bits.
_LIMIT = 2**63

#: The metrics that a condition may name.
METRICS: Metrics = {"survived": ("time", ("survivedNs",))}


def trialOf(trial: Trial) -> dict[str, Any]:
    """
    Return a trial as plain values.
    """
    return {
        "silenceNs": trial.silence,
        "round": trial.round,
        "ending": trial.ending,
        "reason": trial.reason,
        "settledNs": trial.settledAt,
    }


def trialFrom(values: Mapping[str, Any]) -> Trial:
    """
    Return the trial that plain values describe.

    :raise ValueError: the values describe no trial; also ``KeyError`` and ``TypeError``.
    """
    numbers = [values[name] for name in ("silenceNs", "round", "settledNs")]
    texts = [values[name] for name in ("ending", "reason")]
    if not all(type(one) is int and 0 <= one < _LIMIT for one in numbers):
        raise ValueError(numbers)
    if not all(one is None or isinstance(one, str) for one in texts):
        raise ValueError(texts)
    return Trial(numbers[0], numbers[1], texts[0], texts[1], numbers[2])


def resultOf(search: Search, about: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the present result of one target in one mode.

    :param about: the description of the search: the target and the like.
    """
    ended = search.ended
    return {
        **about,
        "survivedNs": search.survived if search.trials else None,
        "endedNs": ended and ended.silence,
        "ending": ended and ended.ending,
        "reason": ended and ended.reason,
        "isDone": search.isDone,
        "trials": list(map(trialOf, search.trials)),
    }
