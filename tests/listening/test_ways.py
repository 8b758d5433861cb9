"""
What is chosen to do the work.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echotwist.datagrams.port import DatagramPort
from echotwist.datagrams.raw import RawPort
from echotwist.datagrams.unix import UnixDatagramPort
from echotwist.impair.grammar import Impairments
from echotwist.listening.ways import echoesFor, kindsFor, portFor
from echotwist.settings import Settings
from echotwist.streams.factory import EchoFactory
from echotwist.values import rulesOf


class WaysTests(SynchronousTestCase):
    """
    Tests for what chooses classes.
    """

    def chosen(self, text: str = "", **words: Any) -> tuple[Any, ...]:
        """
        Return what makes connections, ports of UDP, factories, and ports of all datagrams.
        """
        impair = Impairments.of([text] if text else [])
        rules = rulesOf(Settings(**words), impair)
        ports = [portFor(rules, kind) for kind in (DatagramPort, UnixDatagramPort, RawPort)]
        return (*kindsFor(rules), echoesFor(rules), *ports)

    def test_unimpaired(self) -> None:
        """
        A service that does not misbehave is made of the same classes as ever: of the
        fast ones where they are, and of no other.
        """
        plain = (EchoFactory, DatagramPort, UnixDatagramPort, RawPort)
        self.assertEqual(self.chosen()[2:], plain)
        self.assertEqual(self.chosen(portable=True)[2:], plain)

    def test_streams(self) -> None:
        """
        Datagrams stay as they are if only streams misbehave...
        """
        for text in ("reset=1%", "chunk=1..3", "halfclose=ignore"):
            self.assertEqual(self.chosen(text)[:2], self.chosen()[:2])
            self.assertEqual(self.chosen(text)[3:], self.chosen()[3:])
            self.assertNotEqual(self.chosen(text)[2], EchoFactory)

    def test_datagrams(self) -> None:
        """
        ...and streams, if only datagrams do.  These are then handled one by one.
        """
        for text in ("loss=1%", "corrupt=1e-6", "truncate=8k"):
            connection, udpPort, factory, *ports = self.chosen(text)
            self.assertEqual((connection, factory), (self.chosen()[0], EchoFactory))
            self.assertEqual(udpPort, DatagramPort)
            for port, plain in zip(ports, self.chosen()[3:], strict=True):
                self.assertTrue(issubclass(port, plain))
                self.assertIsNot(port, plain)
