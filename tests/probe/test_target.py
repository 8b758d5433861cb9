"""
What a person calls an echo service.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import text
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.target import Target, targetsOf
from tests.support.probing import bounded


class TargetTests(SynchronousTestCase):
    """
    Tests for :func:`targetsOf`.
    """

    def test_one(self) -> None:
        """
        A target is a kind with a place; the port is 7, and the protocol 253.
        """
        for said, target in {
            "udp:example.org:1234": Target("udp", "example.org", 1234),
            "udp:example.org": Target("udp", "example.org", 7),
            "tcp:192.0.2.1": Target("tcp", "192.0.2.1", 7),
            "tls:[2001:db8::1]:7777": Target("tls", "2001:db8::1", 7777),
            "udp:[2001:db8::1]": Target("udp", "2001:db8::1", 7),
            "udp:2001:db8::1": Target("udp", "2001:db8::1", 7),
            "udp:fe80::1%eth0": Target("udp", "fe80::1%eth0", 7),
            "raw:192.0.2.1": Target("raw", "192.0.2.1", 253),
            "raw:192.0.2.1:254": Target("raw", "192.0.2.1", 254),
            "unix:/run/echo.sock": Target("unix", path="/run/echo.sock"),
            "unix:a:b": Target("unix", path="a:b"),
            "unix-datagram:@echo": Target("unix-datagram", path="\0echo"),
            "unix-datagram:\\0echo": Target("unix-datagram", path="\0echo"),
        }.items():
            self.assertEqual(targetsOf(said), [target], said)
            self.assertEqual(targetsOf(str(target)), [target], said)

    def test_both(self) -> None:
        """
        A place without a kind is UDP and TCP.
        """
        for said, host, port in [
            ("example.org", "example.org", 7),
            ("example.org:1234", "example.org", 1234),
            ("[::1]:1234", "::1", 1234),
            ("::1", "::1", 7),
            ("udp", "udp", 7),
        ]:
            wanted = [Target("udp", host, port), Target("tcp", host, port)]
            self.assertEqual(targetsOf(said), wanted, said)

    def test_none(self) -> None:
        """
        What is no target is told with what was wrong.
        """
        for said in [
            "",
            ":7",
            "udp:",
            "udp::7",
            "unix:",
            "udp:host:0",
            "udp:host:65536",
            "udp:host:echo",
            "udp:host:",
            "udp:host:\u0667",
            "raw:host:256",
            "udp:[::1",
            "udp:[::1]7",
            "udp:[host]:7",
            "udp:1:2:3",
            "sctp:host:7",
        ]:
            error = self.assertRaises(ValueError, targetsOf, said)
            self.assertIn(said, str(error))

    @bounded
    @given(text(max_size=20))
    def test_any(self, said: str) -> None:
        """
        Whatever is said, it is a target or told in a line.
        """
        try:
            self.assertIn(len(targetsOf(said)), (1, 2))
        except ValueError as error:
            self.assertTrue(str(error))
