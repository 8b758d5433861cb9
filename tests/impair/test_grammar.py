"""
What ``--impair`` says.
"""

from __future__ import annotations

from math import inf

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from echotwist.impair.grammar import (
    OF_DATAGRAMS,
    OF_STREAMS,
    Impairments,
    wordsOf,
)
from echotwist.impair.values import Cut, Ending, Jitter, Loss

#: What each wrong word must not be taken for, and what is said of it.
WRONG = {
    "": "no impairment",
    "los=1%": "no impairment",
    "loss": "share",
    "loss=": "share",
    "loss=1": "share",
    "loss=101%": "share",
    "loss=-1%": "share",
    "loss=1.5": "share",
    "loss=nan": "share",
    "loss=1e6": "share",
    "loss=1 %": "share",
    "loss=gilbert": "share",
    "loss=gilbert:1%": "2 to 4",
    "loss=gilbert:1%:2%:3%:4%:5%": "2 to 4",
    "loss=gilbert:1%:x": "share",
    "delay=50": "unit",
    "delay=50m": "unit",
    "delay=3601s": "hour",
    "delay=-1ms": "unit",
    "jitter=gauss:10ms": "normal",
    "jitter=:10ms": "normal",
    "jitter=10": "unit",
    "duplicate=2": "share",
    "corrupt=1e-100": "share",
    "truncate=200%": "share",
    "truncate=x": "bytes",
    "rate=0bit": "rate",
    "rate=1mbps": "rate",
    "rate=1": "rate",
    "chunk=0": "up to 65536",
    "chunk=3..1": "up to 65536",
    "chunk=1-3": "up to 65536",
    "chunk=1..65537": "up to 65536",
    "reset=after": "after:BYTES",
    "reset=after:x": "bytes",
    "reset=before:10k": "after:BYTES",
    "reset=10k": "after:BYTES",
    "stall=": "after:BYTES",
    "close=late": "after:BYTES",
    "halfclose=drop": "ignored",
    "seed=x": "whole number",
    "seed=-1": "whole number",
    "seed=٣": "whole number",
    "delay=٣ms": "unit",
    "chunk=٣": "up to 65536",
}


class GrammarTests(SynchronousTestCase):
    """
    Tests for :class:`Impairments`.
    """

    def test_words(self) -> None:
        """
        Each word has its value, in the units of tc(8).
        """
        for text, expected in {
            "loss=1%": Loss(inGood=0.01),
            "loss=0.25": Loss(inGood=0.25),
            "loss=0": Loss(),
            "loss=100%": Loss(inGood=1.0),
            "loss=gilbert:1%:25%": Loss(0.01, 0.25),
            "loss=gilbert:1%:25%:50%:0.5%": Loss(0.01, 0.25, 0.5, 0.005),
            "delay=50ms": 0.05,
            "delay=1.5s": 1.5,
            "delay=200us": 0.0002,
            "delay=50MS": 0.05,
            "jitter=10ms": Jitter(0.01),
            "jitter=uniform:10ms": Jitter(0.01),
            "jitter=normal:10ms": Jitter(0.01, isNormal=True),
            "duplicate=.5": 0.5,
            "corrupt=1e-6": 1e-6,
            "corrupt=2.5e-6": 2.5e-6,
            "truncate=1400": Cut(most=1400),
            "truncate=8k": Cut(most=8192),
            "truncate=5%": Cut(share=0.05),
            "rate=1mbit": 1e6,
            "rate=1.5Mbit": 1.5e6,
            "rate=64kbit": 64e3,
            "rate=9600bit": 9600,
            "rate=10gbit": 1e10,
            "chunk=1..3": (1, 3),
            "chunk=7": (7, 7),
            "reset=after:10k": Ending(10240, 1.0),
            "reset=5%": Ending(0, 0.05),
            "stall=after:0": Ending(0, 1.0),
            "close=after:1m": Ending(2**20, 1.0),
            "close=early": Ending(1, 1.0),
            "halfclose=ignore": True,
            "seed=7": 7,
        }.items():
            name = text.partition("=")[0]
            [(word, found, value)] = wordsOf(text)
            self.assertEqual((word, found), (text, name))
            if isinstance(expected, float):
                self.assertAlmostEqual(value, expected, 15, text)
            else:
                self.assertEqual(value, expected, text)

    def test_wrong(self) -> None:
        """
        A word that means nothing is named, and it is said why, in one line.
        """
        for word, why in WRONG.items():
            error = self.assertRaises(ValueError, Impairments.of, [f"delay=1ms,{word}"])
            self.assertTrue(str(error).startswith(f"{word}: "), error)
            self.assertIn(why, str(error))
            self.assertNotIn("\n", str(error))

    @given(strategies.text("0123456789.:%eksmit=,af", max_size=12))
    def test_anything(self, text: str) -> None:
        """
        Whatever is said, it is understood or refused.
        """
        for said in (text, f"loss={text}", f"reset={text}", f"truncate={text}"):
            try:
                Impairments.of([said])
            except ValueError as error:
                self.assertNotIn("float", str(error))
                self.assertNotIn("int()", str(error))

    def test_together(self) -> None:
        """
        Said in one text or in several it is the same, in any order; nothing is said twice.
        """
        one = Impairments.of(["delay=10ms,reorder=5%,seed=7"])
        self.assertEqual(one, Impairments.of(["delay=10ms", "reorder=5%", "seed=7"]))
        self.assertEqual((one.delay, one.reorder, one.seed), (0.01, 0.05, 7))
        self.assertEqual(Impairments.of(["seed=7", "reorder=5%,delay=10ms"]).reorder, 0.05)
        error = self.assertRaises(ValueError, Impairments.of, ["loss=1%,delay=1ms", "loss=2%"])
        self.assertEqual(str(error), "loss=2%: loss=1% was given before")

    def test_meaningless(self) -> None:
        """
        What would do nothing is refused.
        """
        self.assertRaises(ValueError, Impairments.of, ["seed=7"])
        self.assertRaises(ValueError, Impairments.of, ["reorder=5%,rate=1mbit"])
        Impairments.of(["reorder=5%,jitter=1ms"])

    def test_kinds(self) -> None:
        """
        It is known what acts on datagrams, what on streams, and what on both.
        """
        mixed = Impairments.of(["loss=1%,delay=1ms,chunk=1..3,close=early,seed=7"])
        self.assertEqual(mixed.only(OF_DATAGRAMS), ["loss=1%"])
        self.assertEqual(mixed.only(OF_STREAMS), ["chunk=1..3", "close=early"])
        for text, acts in {
            "loss=1%": (True, False),
            "halfclose=ignore": (False, True),
            "rate=1mbit": (True, True),
        }.items():
            chosen = Impairments.of([text])
            self.assertEqual(
                (bool(chosen.effects(OF_DATAGRAMS)), bool(chosen.effects(OF_STREAMS))), acts
            )
        self.assertFalse(Impairments().effects(OF_DATAGRAMS) + Impairments().effects(OF_STREAMS))

    def test_seeded(self) -> None:
        """
        A seed that was said is kept; nothing needs one if nothing is impaired.
        """
        self.assertEqual(Impairments.of(["loss=1%,seed=7"]).seeded(8).seed, 7)
        other = Impairments.of(["loss=1%"]).seeded(8)
        self.assertEqual(other, Impairments.of(other.words))
        self.assertEqual(other.seed, 8)
        self.assertEqual(Impairments().seeded(8), Impairments())
        self.assertEqual(Impairments().rate, inf)
