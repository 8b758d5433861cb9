"""
What makes a measurement a failure.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.explain.result import METRICS as EXPLAINED
from echotwist.probe.verdict import METRICS, verdictOf

RESULT: dict[str, Any] = {
    "target": "udp:192.0.2.1:7",
    "damaged": 2,
    "lost": {"share": 7 / 100},
    "rttNs": {"p99": 5_000_000},
    "jitterNs": None,
}


class VerdictTests(SynchronousTestCase):
    """
    Tests for :func:`verdictOf`.
    """

    def test_held(self) -> None:
        """
        A value is compared in the unit that was said.
        """
        for text, held in {
            "damaged>1": False,
            "damaged>2": True,
            "damaged >= 2": False,
            "damaged==2": False,
            "damaged!=2": True,
            "damaged<3": False,
            "damaged<=1": True,
            "loss>7%": True,
            "loss>=7%": False,
            "loss>6.9%": False,
            "p99>5ms": True,
            "p99>4999us": False,
            "p99>4999.9µs": False,
            "p99>0.005s": True,
            "p99>=5000000ns": False,
        }.items():
            judged = verdictOf(text).judge(RESULT)
            self.assertEqual((judged["held"], judged["target"]), (held, RESULT["target"]), text)

    def test_nothing(self) -> None:
        """
        What there is not cannot hold.
        """
        for condition in ("p99>5ms", "p99<5ms"):
            self.assertFalse(verdictOf(condition).judge({**RESULT, "rttNs": None})["held"])
        self.assertFalse(verdictOf("jitter>5ms").judge(RESULT)["held"])

    def test_none(self) -> None:
        """
        What is no condition is told.
        """
        for text, words in {
            "": "a condition is a name",
            "loss": "a condition is a name",
            "loss>": "as in loss>0.1%, p99>5ms or damaged>0",
            "loss=1%": "one of >, >=, <, <=, ==, !=, and a limit",
            "loss>-1%": "a condition is a name",
            "p98>5ms": "p98 is not measured; shares (%): loss; counts: sent,",
            "LOSS>1%": "LOSS is not measured; shares (%): loss; counts: sent,",
            "loss>1": "a limit of loss is in %, as in loss>1%",
            "p99>5": "has one of the units ns, us, µs, ms, s, as in p99>5ms",
            "p99<5%": "has one of the units ns, us, µs, ms, s, as in p99<5ms",
            "damaged>1%": "a limit of damaged is a number without a unit",
            "p99>5ms!": "a limit of p99 has one of the units",
            "loss>101%": "'loss>101%': never true, as loss is from 0 to 100 %",
            "loss>100%": "never true",
            "loss>=100.1%": "never true",
            "loss==100.1%": "never true",
            "loss!=100.1%": "always true",
            "loss<0%": "never true",
            "loss<=100%": "always true",
            "loss>=0%": "always true",
            "damaged<0": "'damaged<0': never true, as damaged is never below 0",
            "damaged>=0": "always true",
            "p99<0ms": "never true",
            "p99>=0s": "always true",
        }.items():
            self.assertIn(words, str(self.assertRaises(ValueError, verdictOf, text)), text)

    def test_possible(self) -> None:
        """
        A condition that can be true or not is one, even if that is unlikely.
        """
        for text in (
            *("loss>=100%", "loss<100%", "loss==100%", "loss!=100%", "loss<=0%", "loss==0%"),
            *("damaged<=0", "damaged==5", "damaged!=5", "damaged>1000000000", "p99<=0ms"),
        ):
            self.assertEqual(verdictOf(text).text, text)
        # What the clocks of two hosts tell may be negative.
        self.assertEqual(verdictOf("there-min<0ms", EXPLAINED).limit, 0)

    def test_all(self) -> None:
        """
        Each metric takes a condition.
        """
        for name, (kind, _) in METRICS.items():
            unit = {"time": "ms", "share": "%", "count": ""}[kind]
            self.assertEqual(verdictOf(f"{name}>1{unit}").path, METRICS[name][1])
