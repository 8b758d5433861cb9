"""
Endpoints, on a reactor in memory and on the sockets that they get.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from echotwist import Settings
from echotwist.listening import endpoints
from echotwist.listening.endpoints import EndpointReactor
from echotwist.listening.listeners import Listener, _rawAddresses, openOwn, openShared
from echotwist.listening.ports import Ports
from echotwist.service import EchoService
from echotwist.sockets.addresses import Address
from echotwist.sockets.errors import ListenError
from echotwist.streams.proxy import ProxyFactory
from echotwist.telemetry.counters import Counters
from echotwist.values import rulesOf, socketsOf
from tests.support.kinds import keyAndCertificate
from tests.support.live import freePort

_TAKE = """
import socket, sys
from echotwist.sockets.addresses import Address
from echotwist.sockets.errors import ListenError
from echotwist.sockets.opening import openStream
try:
    openStream(Address(socket.AF_INET, "127.0.0.1"), int(sys.argv[1]), reuse=False, backlog=1,
               linger=None)
except ListenError as error:
    print(error)
"""


class EndpointTests(SynchronousTestCase):
    """
    Tests for :class:`EndpointReactor`.
    """

    def setUp(self) -> None:
        """
        Make a reactor.
        """
        self.reactor: Any = MemoryReactorClock()
        self.counters: list[Counters] = []

    def endpoint(self, text: str, **options: Any) -> EndpointReactor:
        """
        Make what an endpoint takes for the reactor.
        """
        settings = Settings(listen=[text], portable=True, **options)
        binding = socketsOf(settings).binding
        ports = Ports(rulesOf(settings), binding, self.counters, self.reactor, self.fail)
        return EndpointReactor(self.reactor, binding, text, ports)

    def open(self, text: str, **options: Any) -> Listener:
        """
        Have an endpoint listen.
        """
        [listener] = self.endpoint(text, **options).open()
        self.addCleanup(listener.close)
        return listener

    def mistake(self, text: str) -> str:
        """
        Return what is said of one that does not.
        """
        said = str(self.assertRaises(ListenError, self.open, text))
        self.assertEqual(len(said.splitlines()), 1)
        return said

    def test_reactor(self) -> None:
        """
        It can do all else that the reactor can, and says so.
        """
        endpoint = self.endpoint("tcp:0")
        self.assertTrue(IReactorTCP.providedBy(endpoint))
        self.assertEqual(endpoint.seconds(), self.reactor.seconds())

    def test_places(self) -> None:
        """
        Sockets are where the text says.
        """
        for text, place in [
            ("tcp:0", "TCP [::]:"),
            ("TCP:0", "TCP [::]:"),
            ("tcp:0:interface=0.0.0.0", "TCP 0.0.0.0:"),
            ("tcp:0:interface=127.0.0.2", "TCP 127.0.0.2:"),
            (r"tcp:0:interface=\\:\\:1", "TCP [::1]:"),
            ("tcp:0:interface=localhost", "TCP 127.0.0.1:"),
            ("tcp6:0", "TCP [::]:"),
            (r"tcp6:0:interface=\\:\\:1", "TCP [::1]:"),
            ("haproxy:tcp:0:interface=127.0.0.1", "TCP 127.0.0.1:"),
            (r"HA\\proxy:tcp:port=0:interface=127.0.0.1:backlog=7", "TCP 127.0.0.1:"),
        ]:
            self.assertIn(place, self.open(text.replace("\\\\", "\\")).text)

    def test_unix(self) -> None:
        """
        A file has our mode, or the one that is said; an abstract name is one.
        """
        path = Path(self.mktemp())
        for more, mode in [
            ("", 0o660),
            (":mode=600", 0o600),
            (":600", 0o600),
            (":666:5", 0o666),
            (":mode=666:lockfile=0", 0o666),
        ]:
            listener = self.open(f"unix:{path}{more}")
            self.assertEqual(listener.text, f"UNIX {path}")
            self.assertEqual(path.stat().st_mode & 0o777, mode)
            listener.close()
        for number, start in enumerate(("\\0", "@", "\0")):
            listener = self.open(f"unix:{start}{path}{number}")
            self.assertEqual(listener.text, f"UNIX @{path}{number}")

    def test_pluginsMode(self) -> None:
        """
        So has one of a plugin, which says both otherwise.
        """
        path = self.mktemp()
        endpoint = self.endpoint("plugin:1")
        port: Any = endpoint.listenUNIX(path, endpoint.deferredFactory, 3, 0o600)
        self.addCleanup(endpoint.listeners[0].close)
        self.assertEqual(Path(path).stat().st_mode & 0o777, 0o600)
        self.assertEqual(port.getHost().name, os.fsencode(path))

    def test_backlog(self) -> None:
        """
        So many may wait as is said, by the endpoint or else for all.
        """
        endpoint = self.endpoint("tcp:0", backlog=7)
        self.assertEqual(endpoint._backlog(50), 7)
        self.assertEqual(self.endpoint("tcp:0:backlog=9", backlog=7)._backlog(9), 9)
        self.assertEqual(self.endpoint("tcp:0:backlog=50", backlog=7)._backlog(50), 50)

    def test_wrong(self) -> None:
        """
        What cannot be served is one line.
        """
        noKey = Path(self.mktemp())
        noKey.write_text("nothing")
        encrypted = Path(self.mktemp())
        encrypted.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        key = Path(self.mktemp())
        key.write_bytes(b"".join(keyAndCertificate()))
        for text, reason in [
            ("nowhere:1", "Unknown endpoint type: 'nowhere'"),
            ("tcp:x", "port x: not a whole number from 0 to 65535, as in tcp:1234"),
            ("tcp:65536", "port 65536: not a whole number"),
            ("tcp:127.0.0.1:0", "port 127.0.0.1: not a whole number"),
            ("tcp", "it has no port, as in tcp:1234"),
            ("port=0", "it begins with no kind of endpoint; there are tcp, tcp6, ssl"),
            ("haproxy:port=0", "it begins with no kind"),
            ("haproxy:", "it begins with no kind"),
            ("1234", "it begins with no kind"),
            ("127.0.0.1:1234", "it begins with no kind"),
            ("/run/echo.sock", "it begins with no kind"),
            ("haproxy:1234", "it begins with no kind"),
            ("haproxy:haproxy:tcp:0", "haproxy is given twice"),
            ("tcp:0:é=1", "tcp has no parameter é; it has port, interface, backlog"),
            ("tcp:0:port=0", "port is given twice"),
            ("tcp:0:::1", r"4 values; tcp takes port, interface, backlog; in an endpoint, colons"),
            ("stdio:", "stdio is no place to listen"),
            ("tcp:0\\", "it ends with a single backslash"),
            ("unix", "it has no address, as in unix:/run/echo.sock"),
            ("tcp:0:interface=::1", r"colons of an address are written \:"),
            (f"ssl:0:privateKey={encrypted}", f"{encrypted} is encrypted"),
            (f"ssl:0:{encrypted}", f"{encrypted} is encrypted"),
            (f"ssl:0:privateKey={key}:dhParameters={noKey}", "parameters (PEM): no start line"),
            ("tcp:0:speed=9", "tcp has no parameter speed; it has port, interface, backlog"),
            ("ssl:0:privateKey=/nowhere", "/nowhere: No such file or directory (errno 2)"),
            (
                f"ssl:0:privateKey={noKey}",
                "OpenSSL finds fault with key, certificate or parameters (PEM): ",
            ),
            ("tcp:0:interface=192.0.2.1", "TCP 192.0.2.1:0: Cannot assign requested address"),
            ("systemd:domain=INET:index=7", "no such socket was passed"),
        ]:
            said = self.mistake(text)
            self.assertIn(reason, said)
            # Numbers are of errors that the system knows.
            self.assertEqual("errno" in said, "No such file" in said or "Cannot assign" in said)

    def test_noCertificate(self) -> None:
        """
        A folder without certificates is told at the start, and not for each client.
        """
        Path("empty").mkdir()
        self.assertIn("there is no certificate", self.mistake("tls:empty:0"))

    def test_missing(self) -> None:
        """
        A missing extra is named, and so is memory that the system denies.
        """

        def serverFromString(*_: object) -> None:
            raise missing

        self.patch(endpoints, "serverFromString", serverFromString)
        missing: Exception = ImportError("No module named 'OpenSSL'", name="OpenSSL")
        self.assertIn("needs pyOpenSSL: pip install 'echotwist[tls]'", self.mistake("ssl:0"))
        missing = NameError("SNIConnectionCreator", name="SNIConnectionCreator")
        self.assertIn("needs pyOpenSSL: pip install 'echotwist[tls]'", self.mistake("tls:.:0"))
        missing = MemoryError("Cannot allocate write+execute memory")
        self.assertIn("MemoryDenyWriteExecute=no", self.mistake("ssl:0"))
        missing = ImportError("No module named 'other'", name="other")
        self.assertEqual(
            self.mistake("other:0"), "cannot listen on endpoint other:0: No module named 'other'"
        )

    def test_late(self) -> None:
        """
        An endpoint that does not listen at once is told so.
        """

        class Late:
            def listen(self, factory: object) -> Deferred[object]:
                return Deferred()

        self.patch(endpoints, "serverFromString", lambda *_: Late())
        self.assertIn("does not listen at once", self.mistake("late:1"))

    def test_elsewhere(self) -> None:
        """
        One that listens without the reactor has its echo too, and is stopped.
        """

        class Foreign:
            stopped = False
            factory: Any

            def listen(self, factory: object) -> Deferred[object]:
                self.factory = factory
                done: Deferred[object] = Deferred()
                done.callback(self)
                return done

            def stopListening(self) -> None:
                self.stopped = True

        foreign = Foreign()
        self.patch(endpoints, "serverFromString", lambda *_: foreign)
        service = EchoService(Settings(listen=["onion:80"]), self.reactor)
        service.startService()
        self.assertEqual(service.ports, [foreign])
        echo = foreign.factory.buildProtocol(None)
        self.assertEqual(echo.counters.transport, "ONION")
        self.successResultOf(service.stopService())
        self.assertTrue(foreign.stopped)

    def places(self, *listen: str, **options: Any) -> list[str]:
        """
        Return where endpoints listen that were opened together, without ports.
        """
        settings = Settings(listen=listen, portable=True, **options)
        service = EchoService(settings, self.reactor)
        service.open()
        assert service._serving is not None
        texts = [re.sub(r":\d+(?= |$)", "", one.text) for one in service._serving.listeners]
        self.successResultOf(service.stopService())
        return texts

    def test_interface(self) -> None:
        """
        An endpoint that names no interface listens where ``--interface`` says.
        """
        for interfaces, text, places in [
            (["127.0.0.2"], "tcp:0", ["TCP 127.0.0.2"]),
            (["127.0.0.2", "::1"], "tcp:0", ["TCP 127.0.0.2", "TCP [::1]"]),
            (["127.0.0.2", "::1"], "haproxy:tcp:0:backlog=9", ["TCP 127.0.0.2", "TCP [::1]"]),
            (["127.0.0.2", "::1"], "tcp6:0", ["TCP [::1]"]),
            (["lo"], "tcp:0", ["TCP [::] on lo"]),
            (["lo"], "tcp6:0", ["TCP [::] on lo"]),
        ]:
            self.assertEqual(self.places(text, interfaces=interfaces), places)
        mixed = self.places("tcp:0", "tcp:0:interface=127.0.0.3", interfaces="127.0.0.2")
        self.assertEqual(mixed, ["TCP 127.0.0.2", "TCP 127.0.0.3"])

    def test_interfacePort(self) -> None:
        """
        At several interfaces it has the same port.
        """
        settings = Settings(listen="tcp:0", interfaces=["127.0.0.1", "127.0.0.2"], portable=True)
        service = EchoService(settings, self.reactor)
        service.startService()
        hosts = [port.getHost() for port in service.ports]
        self.assertEqual([host.host for host in hosts], ["127.0.0.1", "127.0.0.2"])
        self.assertEqual(len({host.port for host in hosts}), 1)
        stopped = service.stopService()
        self.reactor.advance(0)
        self.successResultOf(stopped)

    def test_interfaceForNobody(self) -> None:
        """
        An interface that no listener takes is an error: the user wanted to confine
        something.
        """
        for text in ("tcp:0:interface=127.0.0.1", f"unix:{self.mktemp()}"):
            error = self.assertRaises(ListenError, self.places, text, interfaces="127.0.0.2")
            self.assertIn("interface 127.0.0.2: no listener uses it", str(error))
        options: dict[str, Any] = {"interfaces": "127.0.0.2", "metrics": "tcp:0"}
        self.assertEqual(len(self.places(f"unix:{self.mktemp()}", **options)), 1)
        error = self.assertRaises(ListenError, self.places, "tcp6:0", interfaces="127.0.0.2")
        self.assertIn("no --interface has an IPv6 address", str(error))
        self.assertEqual(
            self.places("tcp:0:interface=127.0.0.1", interfaces="lo", raw=253)[0][:3], "raw"
        )

    def test_families(self) -> None:
        """
        On one port ``tcp`` and ``tcp6`` have a family each; alone each has both.
        """
        port = freePort()
        both = ["TCP 0.0.0.0", "TCP [::]"]
        for options in ({}, {"reuse": True}):
            self.assertEqual(self.places(f"tcp:{port}", f"tcp6:{port}", **options), both)
            self.assertEqual(self.places(f"tcp6:{port}", f"tcp:{port}", **options), both[::-1])
        self.assertEqual(
            self.places(f"tcp:{port}:interface=127.0.0.1", f"tcp6:{port}"),
            ["TCP 127.0.0.1", "TCP [::]"],
        )
        self.assertEqual(self.places(f"tcp:{port}", rf"tcp6:{port}:interface=\:\:"), both)
        self.assertEqual(
            self.places(rf"tcp:{port}:interface=\:\:1", f"tcp:{port}:interface=127.0.0.1"),
            ["TCP [::1]", "TCP 127.0.0.1"],
        )
        self.assertEqual(
            self.places(f"tcp:{port}", f"tcp6:{port}", interfaces=["127.0.0.2", "::1"]),
            ["TCP 127.0.0.2", "TCP [::1]"],
        )

    def test_twice(self) -> None:
        """
        If we have the place ourselves already, the error says so.
        """
        port, path = freePort(), self.mktemp()
        for first, second in [
            (f"tcp:{port}", f"tcp:{port}"),
            (f"tcp:{port}", f"tcp:{port}:interface=127.0.0.1"),
            (f"tcp:{port}:interface=127.0.0.1", rf"tcp:{port}:interface=\:\:"),
            (f"tcp6:{port}", f"tcp6:{port}"),
        ]:
            said = str(self.assertRaises(ListenError, self.places, first, second))
            self.assertIn("in use (errno 98); we have it ourselves, for TCP ", said)
        said = str(self.assertRaises(ListenError, self.places, f"tcp6:{port}", port=port))
        self.assertIn(f"in use (errno 98); we have it ourselves, for TCP [::]:{port}", said)
        said = str(self.assertRaises(ListenError, self.places, f"unix:{path}", f"unix:./{path}"))
        self.assertIn("another listener of this command has it", said)
        with socket.create_server(("127.0.0.1", 0)) as other:
            number = other.getsockname()[1]
            words = [sys.executable, "-c", _TAKE, str(number)]
            self.assertIn(
                "another program has it",
                subprocess.run(words, capture_output=True, text=True, check=True).stdout,
            )

    def test_layers(self) -> None:
        """
        What an endpoint puts around the echo stays; a proxy's header comes before.
        """
        endpoint = self.endpoint("haproxy:tcp:0")
        port: Any = endpoint.listenTCP(0, WrappingFactory(endpoint.deferredFactory))
        self.addCleanup(endpoint.listeners[0].close)
        self.assertIsInstance(port.factory, ProxyFactory)
        self.assertIsInstance(port.factory._next, WrappingFactory)

    def test_given(self) -> None:
        """
        A worker's endpoint takes the socket that it was given.
        """
        settings = Settings(listen=["tcp:0"], portable=True)
        binding = socketsOf(settings).binding
        ports = Ports(rulesOf(settings), binding, self.counters, self.reactor, self.fail)
        with socket.create_server(("127.0.0.1", 0)) as given:
            endpoint = EndpointReactor(self.reactor, binding, "tcp:0", ports, given=iter([[given]]))
            [listener] = endpoint.open()
            self.assertIs(listener.socket, given)

    def test_counters(self) -> None:
        """
        What comes in the same way is counted together.
        """
        settings = Settings(listen=["tcp:0", "tcp6:0", f"unix:{self.mktemp()}"], portable=True)
        service = EchoService(settings, self.reactor)
        service.open()
        self.assertEqual([one.transport for one in service.counters], ["TCP", "UNIX"])
        self.successResultOf(service.stopService())


class ListenerTests(SynchronousTestCase):
    """
    Tests for the sockets that are no endpoint's.
    """

    def test_instead(self) -> None:
        """
        Beside other listeners there is a port only if it is asked for.
        """
        self.assertEqual(Settings().port, 1234)
        for others in (
            {"listen": "tcp:0"},
            {"unixDatagrams": "x"},
            {"systemd": True},
            {"raw": 253},
        ):
            alone, both = Settings(**others), Settings(port=7, **others)
            self.assertEqual((alone.port, alone.transports), (None, ()))
            self.assertEqual((both.port, both.transports), (7, ("TCP", "UDP")))
            self.assertEqual(openOwn(socketsOf(alone)), [])
            for without in ({"tcp": False}, {"udp": False}, {"tcp": False, "udp": False}):
                said = str(self.assertRaises(ValueError, Settings, **without, **others))
                self.assertIn("out of --port, which is not given", said)

    def test_owned(self) -> None:
        """
        A protocol that the kernel has is refused, with its name.
        """
        for number, name in [(1, "ICMP"), (6, "TCP"), (17, "UDP"), (58, "ICMPv6"), (255, "raw")]:
            said = str(self.assertRaises(ValueError, Settings, raw=number))
            self.assertIn(f"raw {number}: the kernel itself has that protocol ({name}", said)
            self.assertIn("253 and 254 are for experiments (RFC 3692)", said)
        for number in (-1, 256):
            self.assertRaises(ValueError, Settings, raw=number)

    def test_overlap(self) -> None:
        """
        No raw packet comes to two of our sockets: it would be answered twice.
        """
        for interfaces in [
            ["127.0.0.1", "0.0.0.0"],
            ["0.0.0.0", "127.0.0.1"],
            ["127.0.0.1", "lo"],
            ["::1", "::"],
            ["::1", "lo"],
        ]:
            settings = Settings(raw=253, interfaces=interfaces)
            said = str(self.assertRaises(ListenError, openShared, socketsOf(settings)))
            self.assertIn("Address already in use (errno 98); ", said)
            self.assertIn("takes the same packets", said)
        near, far = (Address(socket.AF_INET6, "fe80::1", scope) for scope in (1, 2))
        self.assertFalse(near.overlaps(far))
        self.assertTrue(near.overlaps(Address(socket.AF_INET6, "::")))
        for apart in (["127.0.0.1", "127.0.0.2", "::1"], ["0.0.0.0", "::"], ["lo"], ["lo", "lo"]):
            self.assertTrue(_rawAddresses(apart, 253))

    def test_all(self) -> None:
        """
        If one cannot be opened, none stays open.
        """
        path = self.mktemp()
        settings = Settings(unixDatagrams=[path, "/nowhere/at/all"])
        said = str(self.assertRaises(ListenError, openShared, socketsOf(settings)))
        self.assertIn("UNIX datagram /nowhere/at/all: No such file", said)
        self.assertFalse(Path(path).exists())

    def test_text(self) -> None:
        """
        Where each listens is written as a person reads it.
        """
        path = self.mktemp()
        [listener] = openShared(socketsOf(Settings(unixDatagrams=path)))
        self.addCleanup(listener.close)
        self.assertEqual(listener.text, f"UNIX datagram {path}")
        self.assertEqual(Listener(None, "ONION").text, "ONION endpoint")
