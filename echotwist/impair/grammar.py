"""
What ``--impair`` says: words such as ``loss=1%``, with commas between them.

The words are those of tc-netem(8) where that has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import inf
from typing import Any

from attrs import evolve, field, frozen

from echotwist.impair.values import (
    Cut,
    Ending,
    Jitter,
    Loss,
    chunkOf,
    closeOf,
    cutOf,
    endingOf,
    isIgnored,
    jitterOf,
    lossOf,
    rateOf,
    seedOf,
    shareOf,
    timeOf,
)


@frozen(kw_only=True)
class Impairments:
    """
    All that a service does wrong on purpose; by default nothing.

    :param loss: of datagrams.
    :param delay: seconds.
    :param jitter: of the delay.
    :param duplicate: share of the datagrams that leave twice.
    :param reorder: share of the datagrams that leave at once, before those delayed.
    :param corrupt: share of the bits that are flipped.
    :param truncate: datagrams.
    :param rate: bits a second, of each peer or connection.
    :param chunk: bytes of the pieces of a stream, from and to.
    :param reset: connections.
    :param stall: read and answer no more.
    :param close: connections, before all is given back.
    :param halfclose: is ignored: its connection never ends.
    :param seed: of all that is left to chance.
    :param words: what was said.
    """

    loss: Loss = field(factory=Loss)
    delay: float = 0.0
    jitter: Jitter = field(factory=Jitter)
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    truncate: Cut = field(factory=Cut)
    rate: float = inf
    chunk: tuple[int, int] | None = None
    reset: Ending = field(factory=Ending)
    stall: Ending = field(factory=Ending)
    close: Ending = field(factory=Ending)
    halfclose: bool = False
    seed: int | None = None
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Impairments:
        """
        Read what ``--impair`` said, all times that it did.

        :raise ValueError: the first word that is wrong, and why.
        """
        said: dict[str, str] = {}
        values: dict[str, Any] = {}
        for text in texts:
            for word, name, value in wordsOf(text):
                if name in said:
                    raise ValueError(f"{word}: {said[name]} was given before")
                said[name], values[name] = word, value
        if said and not said.keys() - {"seed"}:
            raise ValueError(f"{said['seed']}: it changes nothing by itself")
        if "reorder" in said and not {"delay", "jitter"} & said.keys():
            raise ValueError(f"{said['reorder']}: it needs a delay to skip, such as delay=10ms")
        return cls(**values, words=tuple(said.values()))

    def only(self, kind: str) -> list[str]:
        """
        Give the words that act on nothing but one kind.

        :param kind: :data:`OF_DATAGRAMS` or :data:`OF_STREAMS`.
        """
        return [word for word in self.words if list(_effectsOf(word)) == [kind]]

    def effects(self, kind: str) -> list[Effect]:
        """
        Give what may happen to a kind, if anything.
        """
        found = [_effectsOf(word).get(kind, ()) for word in self.words]
        return list(dict.fromkeys(chain(*found)))

    def seeded(self, seed: int) -> Impairments:
        """
        Give the same with a seed, unless it has one.
        """
        if self.seed is not None or not self.words:
            return self
        return evolve(self, seed=seed, words=(*self.words, f"seed={seed}"))


def _effectsOf(word: str) -> Effects:
    return _MEANINGS[word.partition("=")[0]][1]


#: Nothing goes wrong.
UNIMPAIRED = Impairments()


def wordsOf(text: str) -> Iterator[tuple[str, str, Any]]:
    """
    Give the words of a text, each with its name and value.

    :raise ValueError: the first that is wrong, and why.
    """
    for word in text.split(","):
        name, _, value = word.partition("=")
        if name not in _MEANINGS:
            raise ValueError(f"{word}: no impairment; there are {', '.join(_MEANINGS)}")
        try:
            yield word, name, _MEANINGS[name][0](value.lower())
        except ValueError as error:
            raise ValueError(f"{word}: {error}") from None


#: What words act on.
OF_DATAGRAMS, OF_STREAMS = "datagrams", "streams"

#: What is counted: the unit, and what happened to it.
Effect = tuple[str, str]

Effects = dict[str, tuple[Effect, ...]]


def _datagrams(*effects: str) -> Effects:
    return {OF_DATAGRAMS: tuple(("datagrams", effect) for effect in effects)}


def _connections(effect: str) -> Effects:
    return {OF_STREAMS: (("connections", effect),)}


_DELAYS: Effects = {
    **_datagrams("delayed", "reordered", "dropped"),
    OF_STREAMS: (("bytes", "delayed"),),
}

#: What reads the value of each word, and what may come of it, by what that happens to.
_MEANINGS: dict[str, tuple[Callable[[str], Any], Effects]] = {
    "loss": (lossOf, _datagrams("lost")),
    "duplicate": (shareOf, _datagrams("duplicated")),
    "reorder": (shareOf, _datagrams("reordered")),
    "corrupt": (shareOf, {OF_DATAGRAMS: (("datagrams", "corrupted"), ("bits", "corrupted"))}),
    "truncate": (cutOf, _datagrams("truncated")),
    "delay": (timeOf, _DELAYS),
    "jitter": (jitterOf, _DELAYS),
    "rate": (rateOf, _DELAYS),
    "chunk": (chunkOf, {OF_STREAMS: (("pieces", "cut"),)}),
    "reset": (endingOf, _connections("reset")),
    "stall": (endingOf, _connections("stalled")),
    "close": (closeOf, _connections("closed")),
    "halfclose": (isIgnored, _connections("half-close ignored")),
    "seed": (seedOf, {}),
}
