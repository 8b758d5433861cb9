"""
What serves, and on which sockets.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass

from echotwist import ListenError, Settings
from echotwist.listening.interfaces import IServing
from echotwist.listening.serving import Given, Serving
from echotwist.values import rulesOf, socketsOf
from echotwist.workers.pool import Pool


class ServingTests(SynchronousTestCase):
    """
    Tests for :class:`Serving`.
    """

    def serving(self, given: Given | None = None, **options: Any) -> Serving:
        """
        Make one that serves in memory.
        """
        settings = Settings(portable=True, **options)
        reactor: Any = MemoryReactorClock()
        sockets, rules = socketsOf(settings), rulesOf(settings)
        return Serving(sockets, rules, [], reactor, self.fail, given)

    def test_interface(self) -> None:
        """
        A pool of workers does the same for the service as this process.
        """
        for kind in (Serving, Pool):
            self.assertTrue(verifyClass(IServing, kind))

    def test_neverStarted(self) -> None:
        """
        What was opened and not started is closed again.
        """
        serving = self.serving(port=0, interfaces=["127.0.0.1"])
        serving.open()
        opened = serving.listeners
        self.assertEqual([one.transport for one in opened], ["TCP", "UDP"])
        self.successResultOf(serving.stop())
        self.assertEqual([one.socket.fileno() for one in opened if one.socket], [-1, -1])

    def test_usesInterfaces(self) -> None:
        """
        It tells whether it listens where ``--interface`` says.
        """
        path = self.mktemp()
        cases: list[tuple[dict[str, Any], bool]] = [
            ({"port": 0}, True),
            ({"listen": "tcp:0"}, True),
            ({"listen": ["tcp:0:interface=127.0.0.1", f"unix:{path}"]}, False),
            ({"unixDatagrams": f"{path}.dgram"}, False),
        ]
        for options, expected in cases:
            serving = self.serving(**options)
            serving.open()
            self.addCleanup(serving.stop)
            self.assertEqual(serving.usesInterfaces, expected)

    def test_firstMistake(self) -> None:
        """
        Of several mistakes the first is told, and nothing stays open.
        """
        listen = ["tcp:0", "tcp:0:interface=192.0.2.1", "tcp:abc"]
        serving = self.serving(listen=listen)
        said = str(self.assertRaises(ListenError, serving.open))
        self.assertIn("192.0.2.1", said)
        self.assertEqual(serving.listeners, [])

    def test_given(self) -> None:
        """
        Sockets that are given are served in the order in which they were opened.
        """
        files = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
        given = Given.of(files[:1], files[1:], [1, 2])
        self.assertEqual(given.plain, files[:2])
        self.assertEqual(given.endpoints, [files[2:3], files[3:]])
        serving = self.serving(given, port=0, listen=["tcp:0", "tcp:0"], interfaces=["::1"])
        serving.open()
        self.assertEqual([one.socket for one in serving.listeners], files)
        self.successResultOf(serving.stop())
