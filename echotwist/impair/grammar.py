"""
The grammar of ``--impair``: words such as ``loss=1%``, separated by commas.

Where tc-netem(8) has a word for an impairment, this is the same word.
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
    The impairments of a service; by default none.

    :param loss: the loss of datagrams.
    :param delay: seconds.
    :param jitter: the jitter of the delay.
    :param duplicate: share of the datagrams that leave twice.
    :param reorder: share of the datagrams that leave at once, before the delayed ones.
    :param corrupt: share of the bits that are flipped.
    :param truncate: how datagrams are cut.
    :param rate: bits a second, of each peer or connection.
    :param chunk: the smallest and the largest piece of a stream, in bytes.
    :param reset: when connections are reset.
    :param stall: when a connection stops reading and answering.
    :param close: when connections are closed before all bytes are echoed.
    :param halfclose: ignore half-closes: such a connection never ends.
    :param seed: the seed of all chance.
    :param words: the words as given.
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
        Parse the texts of all ``--impair`` options.

        :raise ValueError: for the first wrong word; the text says why.
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
        Return the words that act on one kind only.

        :param kind: :data:`OF_DATAGRAMS` or :data:`OF_STREAMS`.
        """
        return [word for word in self.words if list(_effectsOf(word)) == [kind]]

    def effects(self, kind: str) -> list[Effect]:
        """
        Return the effects that these impairments may have on a kind.
        """
        found = [_effectsOf(word).get(kind, ()) for word in self.words]
        return list(dict.fromkeys(chain(*found)))

    def seeded(self, seed: int) -> Impairments:
        """
        Return the same impairments with this seed, unless they have one.
        """
        if self.seed is not None or not self.words:
            return self
        return evolve(self, seed=seed, words=(*self.words, f"seed={seed}"))


def _effectsOf(word: str) -> Effects:
    return _MEANINGS[word.partition("=")[0]][1]


#: No impairments.
UNIMPAIRED = Impairments()


def wordsOf(text: str) -> Iterator[tuple[str, str, Any]]:
    """
    Return the words of a text, each with its name and value.

    :raise ValueError: for the first wrong word; the text says why.
    """
    for word in text.split(","):
        name, _, value = word.partition("=")
        if name not in _MEANINGS:
            raise ValueError(f"{word}: no impairment; there are {', '.join(_MEANINGS)}")
        try:
            yield word, name, _MEANINGS[name][0](value.lower())
        except ValueError as error:
            raise ValueError(f"{word}: {error}") from None


#: The kinds that words act on.
OF_DATAGRAMS, OF_STREAMS = "datagrams", "streams"

#: An effect that is counted: the unit, and what happened to it.
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

#: For each word the parser of its value, and its effects on each kind.
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
