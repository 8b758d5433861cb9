"""
Descriptions of endpoints, right ones and odd ones.
"""

from __future__ import annotations

import gc
import os
import re
import socket
from typing import Any

from hypothesis import example, given, settings, strategies
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echotwist import EchoService, ListenError, Settings
from echotwist.commandline.description import Description

#: What must not be told to a person.
_PYTHON = re.compile(
    "argument|literal|not defined|attribute|codec|NoneType|object|tuple|index out|Error|unpack"
)

_KINDS = ["tcp", "tcp6", "ssl", "tls", "unix", "systemd", "stdio", "fd", "haproxy"]
_NAMES = ["port", "interface", "backlog", "mode", "lockfile", "address", "path", "domain", "index"]
_VALUES = [
    "",
    "0",
    "-1",
    "65536",
    "9" * 30,
    "1_0",
    " 1",
    "0x1",
    "\u0661",
    "é",
    "a\0b",
    "::1",
    r"\:\:1",
]
_VALUES += ["::1", r"\:\:1"]
_VALUES += ["127.0.0.1", "255.255.255.255", "lo", "no\\", "a=b", "INET", "AF_INET", "\n", "\x1b[0m"]
_VALUES += ["/nonexistent/file", "x" * 300, "\udcff", "\\0x", "999", "fe80::1", r"fe80\:\:1"]

#: Parts of a description, after its kind.
_parts = strategies.one_of(
    strategies.sampled_from(_VALUES),
    strategies.builds(
        "{}={}".format,
        strategies.sampled_from([*_NAMES, "é", "", "self", "reactor", "factory", "privateKey"]),
        strategies.sampled_from(_VALUES),
    ),
    strategies.text("0:=\\é \0", max_size=6),
)

_descriptions = strategies.builds(
    lambda before, kind, parts: ":".join([*before, kind, *parts]),
    strategies.lists(strategies.just("haproxy"), max_size=2),
    strategies.one_of(strategies.sampled_from(_KINDS), strategies.text("tcp6:=\\0é", max_size=4)),
    strategies.lists(_parts, max_size=4),
)

#: What cannot be served, whatever else is true.
_WRONG = [
    *("", ":", "=", "\\", "port=0", "nonsense", "nonsense:1", "fd:0", "é:0", "tcp\0:0", "tcp:é=1"),
    *("tcp", "tcp:", "tcp:abc", "tcp:-1", "tcp:65536", "tcp:1e3", "tcp:0:0:0:0", "tcp:0:port=0"),
    *(
        "tcp:0:é=1",
        "tcp:0:=1",
        "tcp:0:backlog=x",
        "tcp:0:backlog=-1",
        "tcp:0:interface=::1",
        "tcp:0:interface=",
    ),
    *("tcp:0:interface=a\0b", "tcp:0:interface=256.1.1.1.invalid", "tcp:0:interface=224.0.0.1"),
    *("tcp:0\\", "tcp:0:self=1", "tcp:0:factory=1", "tcp:0:interface=x:interface=y", "tcp:\u0661"),
    *("tcp6", "tcp6:x", "tcp6:70000", "tcp6:0:reactor=1", "tcp6:0:interface=::1"),
    *("ssl", "ssl:x", "ssl:0", "ssl:0:privateKey=/nonexistent", "ssl:0:sslmethod=Connection"),
    *(
        "tls",
        "tls:",
        "tls:/nonexistent/folder:0",
        "tls:/nonexistent/folder:x",
        "tls:/tmp:-1",
        "tls:/tmp:0:0:::1",
    ),
    *("unix", "unix:", "unix:a\0b", "unix:x:mode=9", "unix:x:lockfile=yes", "unix:" + "x" * 200),
    *("unix:/nonexistent/folder/x", "unix:x:mode=-1", "unix:x:mode=77777"),
    *("systemd", "systemd:", "systemd:INET", "systemd:domain=FOO:index=0", "systemd:INET:index=-1"),
    *("systemd:INET:index=0:name=x", "systemd:INET:name=nosuch", "systemd:INET:index=99999999"),
    *("haproxy", "haproxy:", "haproxy:port=0", "haproxy:haproxy:tcp:0", "haproxy:tcp", "stdio:"),
    *("haproxy:nonsense:0", "haproxy:tcp:0:é=1", "haproxy:stdio", "haproxy:tcp:65536"),
    *("haproxy=x:tcp:0", "HAPROXY:haproxy:tcp:0", "tcp:" + "9" * 5000),
]


def descriptors() -> list[str]:
    """
    Return the descriptors that are open.
    """
    return os.listdir("/proc/self/fd")


class DescriptionTests(SynchronousTestCase):
    """
    Tests for :class:`Description`, and for what listens or does not.
    """

    def setUp(self) -> None:
        """
        Check that no name leads to a question to the network, and that nobody else's
        descriptors are closed meanwhile.
        """
        gc.collect()
        lookUp: Any = socket.getaddrinfo
        self.patch(socket, "getaddrinfo", lambda *a, flags=0, **k: lookUp(*a, **k, flags=flags | 4))

    def opened(self, **options: Any) -> str | None:
        """
        Open a service, and close it again.

        :return: what it says, if it cannot be opened.
        """
        reactor = MemoryReactorClock()
        service = EchoService(Settings(portable=True, **options), reactor)
        try:
            service.open()
        except ListenError as error:
            return str(error)
        finally:
            self.successResultOf(service.stopService())
        return None

    def check(self, said: str, text: str) -> None:
        """
        Check that an error is one for a person.
        """
        self.assertEqual(len(said.replace(text, "").split("\n")), 1, said)
        self.assertTrue(said.startswith("cannot listen on "), said)
        self.assertIsNone(_PYTHON.search(said.replace(text, "")), said)

    def test_wrong(self) -> None:
        """
        A description that makes no sense is one line in plain words; nothing stays
        open.
        """
        self.opened(listen="tcp:0")  # It has imported all by now.
        for text in _WRONG:
            before = descriptors()
            for options in ({"listen": text}, {"listen": ["tcp:0", text]}):
                said = self.opened(**options)
                assert said is not None, text
                self.check(said, text)
            self.assertEqual(descriptors(), before, text)

    def test_wrongMetrics(self) -> None:
        """
        The same holds for the endpoint of ``--metrics``.
        """
        for text in _WRONG:
            before = descriptors()
            said = self.opened(port=0, interfaces="127.0.0.1", metrics=text)
            assert said is not None, text
            self.check(said, text)
            self.assertEqual(descriptors(), before, text)

    @settings(deadline=None, max_examples=500)
    @given(_descriptions)
    @example("tcp:0:::1")
    def test_any(self, text: str) -> None:
        """
        Any text either listens, or is one line; it leaves nothing open.
        """
        before = descriptors()
        said = self.opened(listen=text)
        if said is not None:
            self.check(said, text)
        self.assertEqual(descriptors(), before)

    def test_read(self) -> None:
        """
        Values have their names, wherever they stand.
        """
        for text, kind, parameters, port in [
            ("tcp:7", "tcp", {"port": "7"}, 7),
            ("tcp:7:lo:5", "tcp", {"port": "7", "interface": "lo", "backlog": "5"}, 7),
            ("tcp6:backlog=5:7", "tcp6", {"port": "7", "backlog": "5"}, 7),
            ("tls:/x", "tls", {"path": "/x"}, 443),
            ("unix:a=b", "unix", None, 0),
            (r"unix:a\:b", "unix", {"address": "a:b"}, 0),
            (r"unix:\0x", "unix", {"address": "\0x"}, 0),
            ("wrapped:x:y=z", "wrapped", {"y": "z"}, 0),
        ]:
            if parameters is None:
                self.assertRaises(ValueError, Description.of, text)
                continue
            for before in ("", "haproxy:", "HAProxy:"):
                said = Description.of(before + text)
                self.assertEqual((said.kind, said.parameters), (kind, parameters))
                self.assertEqual((said.port, said.isProxied), (port, bool(before)))
                self.assertEqual(said.text, text.replace("\\0", "\0"))
