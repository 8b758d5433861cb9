"""
What is told of ports, in words and in a picture, without any network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.events import Event
from echotwist.probe.ledger import NEVER_LEFT
from echotwist.probe.paths.bundle import Bundle, PortSession
from echotwist.probe.paths.plot import draw
from echotwist.probe.paths.result import resultOf
from echotwist.probe.paths.text import textOf
from echotwist.probe.paths.turns import Origin, Turns
from echotwist.probe.payload import Payload
from echotwist.probe.schedule import SECOND
from tests.support.alarm import Alarm

#: Probes from each port.
COUNT = 20

ABOUT = {
    "target": "udp:192.0.2.1:7",
    "address": "192.0.2.1:7",
    "source": None,
    "size": 64,
    "intervalNs": SECOND // 200,
}


class Socket:
    """
    Comes from a port.
    """

    dropped = 0

    def __init__(self, port: int) -> None:
        self.source = ("192.0.2.2", port) if port else None

    def stop(self) -> None:
        """
        End.
        """


def told(ports: dict[int, int]) -> dict[str, Any]:
    """
    Return the result where some probes of each port never came back.

    :param ports: in the order of their sockets, how many each has lost.
    """
    numbers, losses = list(ports), list(ports.values())

    def sessionOf(number: int, heard: Callable[[Event], None]) -> PortSession:
        turns = Turns(SECOND, len(numbers), [0] * COUNT, Origin())
        transport = Socket(numbers[number])
        return PortSession(transport, turns, Payload(b"", 64), SECOND, COUNT, lambda _: Alarm())

    bundle = Bundle(sessionOf, len(numbers), COUNT)
    for session, lost in zip(bundle.sessions, losses, strict=True):
        for number in range(COUNT):
            probe = session.books.begin(number, number)
            if number < lost:
                session.books.lose(probe, NEVER_LEFT, "lost")
            else:
                session.books.answer(probe, 1000)
    return resultOf(bundle, ABOUT)


class Axes:
    """
    Keeps what is written into a picture; draws nothing.
    """

    def __init__(self, words: list[str]) -> None:
        self._words = words

    def annotate(self, text: object, *_: object, **__: object) -> None:
        """
        Write.
        """
        self._words.append(str(text))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class Figure:
    """
    A picture of one result.
    """

    def __init__(self) -> None:
        self.words: list[str] = []

    def subplots(self, *_: object, **__: object) -> list[list[Axes]]:
        """
        Return two places to draw in.
        """
        return [[Axes(self.words), Axes([])]]


class OrderTests(SynchronousTestCase):
    """
    Tests for the order of ports.
    """

    def test_same(self) -> None:
        """
        Whatever ports the kernel chose, the result, the text and the picture name them in
        ascending order: the picture names the first twelve of those in the text.
        """
        bad = [50_000 - 7 * one * one % 997 for one in range(16)]
        good = [40_000 + 31 * one % 64 * 100 for one in range(48)]
        chosen = sorted([*good, *bad], key=lambda port: port * 7919 % 1009)
        result = told({port: COUNT // 2 * (port in bad) for port in chosen})
        self.assertEqual([one["port"] for one in result["byPort"]], sorted({*good, *bad}))
        lines = [
            line.split() for line in textOf({"results": [result], "verdicts": []}).splitlines()
        ]
        named = [line[0] for line in lines if "(50" in line]
        self.assertEqual(named, [str(port) for port in sorted(bad)])
        figure = Figure()
        draw([result], figure)
        self.assertEqual(figure.words, named[:12])

    def test_nowhere(self) -> None:
        """
        A connection that could not even be started has no port, and is named all the same.
        """
        result = told({0: COUNT, **dict.fromkeys(range(40_000, 40_031), 0)})
        self.assertIn("\n          -    20 (100 %)", textOf({"results": [result], "verdicts": []}))
        figure = Figure()
        draw([result], figure)
        self.assertEqual(figure.words, ["-"])
