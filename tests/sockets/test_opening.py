"""
Addresses and the sockets that listen on them.
"""

from __future__ import annotations

import errno
import socket
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from echotwist.sockets import addresses, packetinfo
from echotwist.sockets import opening as sockets
from echotwist.sockets.addresses import Address, InternetName, addressesOf, peerText, wildcards
from echotwist.sockets.errors import ListenError
from echotwist.sockets.opening import openAll, openDatagram, openStream
from echotwist.sockets.options import DATAGRAM_BUFFER, enlarge

LOOPBACK = Address(socket.AF_INET, "127.0.0.1")


class AddressTests(SynchronousTestCase):
    """
    Tests for what words mean, and how addresses are written.
    """

    def test_figures(self) -> None:
        """
        An address in figures is that address.
        """
        self.assertEqual(addressesOf("127.0.0.1"), [LOOPBACK])
        self.assertEqual(addressesOf("::1"), [Address(socket.AF_INET6, "::1")])

    def test_scope(self) -> None:
        """
        A link-local address keeps its network interface.
        """
        index = socket.if_nametoindex("lo")
        self.assertEqual(addressesOf("fe80::1%lo"), [Address(socket.AF_INET6, "fe80::1", index)])

    def test_mapped(self) -> None:
        """
        An IPv4-mapped address is the IPv4 address.
        """
        self.assertEqual(addressesOf("::ffff:127.0.0.1"), [LOOPBACK])

    def test_useless(self) -> None:
        """
        Addresses that no client could ask are told apart, with the reason.
        """
        for word, reason in [
            ("224.0.0.1", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("ff02::1%lo", "multicast"),
            ("fe80::1", "needs its network interface"),
            ("a..b", "no address, no network interface, and as a host: "),
            ("", "no address, no network interface, and as a host: "),
            ("x" * 100, "no address, no network interface, and as a host: "),
        ]:
            self.assertIn(reason, str(self.assertRaises(OSError, addressesOf, word)))

    def test_networkInterface(self) -> None:
        """
        A network interface's name means all addresses, on that interface.
        """
        [address] = addressesOf("lo")
        self.assertEqual(address.device, "lo")
        self.assertTrue(address.inWords(7).endswith(":7 on lo"), address.inWords(7))

    def test_noBindToDevice(self) -> None:
        """
        Where a socket cannot be bound to one, the system's lack is named.
        """
        self.patch(addresses, "BIND_TO_DEVICE", None)
        self.assertIn("SO_BINDTODEVICE", str(self.assertRaises(OSError, addressesOf, "lo")))

    def test_hostName(self) -> None:
        """
        A host name means those of its addresses that this machine has.
        """
        found = [
            (socket.AF_INET, 0, 0, "", ("127.0.0.1", 0)),
            (socket.AF_INET6, 0, 0, "", ("2001:db8::1", 0, 0, 0)),
        ]
        self.patch(socket, "getaddrinfo", lambda *_, **__: found)
        self.assertEqual(addressesOf("here.example"), [LOOPBACK])

    def test_foreignHostName(self) -> None:
        """
        If it has none of them, binding will tell.
        """
        found = [(socket.AF_INET, 0, 0, "", ("192.0.2.1", 0))]
        self.patch(socket, "getaddrinfo", lambda *_, **__: found)
        self.assertEqual(addressesOf("there.example"), [Address(socket.AF_INET, "192.0.2.1")])

    def test_wildcard(self) -> None:
        """
        Everywhere is one dual-stack listener; or one of each; or IPv4 without IPv6.
        """
        if not socket.has_dualstack_ipv6():
            raise SkipTest("this machine has no IPv6")
        self.assertEqual(wildcards(), [Address(socket.AF_INET6, "::", dual=True)])
        self.patch(socket, "has_dualstack_ipv6", lambda: False)
        four, six = Address(socket.AF_INET, "0.0.0.0"), Address(socket.AF_INET6, "::")
        self.assertEqual(wildcards(), [four, six])
        self.patch(addresses, "_isOurs", lambda _: False)
        self.assertEqual(wildcards(), [four])

    def test_text(self) -> None:
        """
        A person reads addresses as they are written everywhere.
        """
        index = socket.if_nametoindex("lo")
        texts: list[tuple[InternetName, str]] = [
            (("127.0.0.1", 7), "127.0.0.1:7"),
            (("::1", 7, 0, 0), "[::1]:7"),
            (("::ffff:127.0.0.1", 7, 0, 0), "127.0.0.1:7"),
            (("fe80::1", 7, 0, index), "[fe80::1%lo]:7"),
            (("fe80::1%lo", 7, 0, index), "[fe80::1%lo]:7"),
            (("fe80::1", 7, 0, 99999), "[fe80::1%99999]:7"),
        ]
        for address, text in texts:
            self.assertEqual(peerText(address), text)


class BufferTests(SynchronousTestCase):
    """
    Tests for the buffers of datagram sockets.
    """

    def test_roomForDatagrams(self) -> None:
        """
        A socket has more room than the system gives by default, or as much as it allows; more
        room than that is not taken away.
        """
        if sys.platform != "linux":
            raise SkipTest("on other systems the buffers stay as they are")
        for size, most in ((socket.SO_RCVBUF, "rmem_max"), (socket.SO_SNDBUF, "wmem_max")):
            allowed = int(Path(f"/proc/sys/net/core/{most}").read_text())
            with openDatagram(LOOPBACK, 0, reuse=False) as opened:
                room = opened.getsockopt(socket.SOL_SOCKET, size)
                self.assertGreaterEqual(room, 2 * min(DATAGRAM_BUFFER, allowed))
                opened.setsockopt(socket.SOL_SOCKET, size, 2 * DATAGRAM_BUFFER)
                room = opened.getsockopt(socket.SOL_SOCKET, size)
                enlarge(opened)
                self.assertEqual(opened.getsockopt(socket.SOL_SOCKET, size), room)


class OpeningTests(SynchronousTestCase):
    """
    Tests for opening listeners.
    """

    def opened(self, listener: socket.socket) -> socket.socket:
        """
        Close a listener at the end.
        """
        self.addCleanup(listener.close)
        return listener

    def stream(self, **options: Any) -> socket.socket:
        """
        Open a TCP listener.
        """
        chosen = {"reuse": False, "backlog": 5, "linger": None} | options
        return self.opened(openStream(LOOPBACK, chosen.pop("port", 0), **chosen))

    def option(self, of: socket.socket, level: int, name: int) -> int:
        """
        Read an option of a socket.
        """
        return of.getsockopt(level, name)

    def test_accepted(self) -> None:
        """
        Accepted connections do not wait (TCP_NODELAY), and linger as chosen.
        """
        listener = self.stream(linger=3)
        listener.setblocking(True)
        self.opened(socket.create_connection(listener.getsockname()))
        accepted = self.opened(listener.accept()[0])
        self.assertTrue(self.option(accepted, socket.IPPROTO_TCP, socket.TCP_NODELAY))
        linger = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        self.assertEqual(linger, b"\1\0\0\0\3\0\0\0")

    def test_reuseAddress(self) -> None:
        """
        SO_REUSEADDR is set on TCP, so that a restart need not wait, and never
        on UDP, where others could take our datagrams.
        """
        udp = self.opened(openDatagram(LOOPBACK, 0, reuse=True))
        self.assertTrue(self.option(self.stream(), socket.SOL_SOCKET, socket.SO_REUSEADDR))
        self.assertFalse(self.option(udp, socket.SOL_SOCKET, socket.SO_REUSEADDR))

    def test_reusePort(self) -> None:
        """
        Sharing a port takes both sides' consent, on TCP and on UDP.
        """
        for opener in (self.stream, lambda **o: self.opened(openDatagram(LOOPBACK, **o))):
            port = opener(port=0, reuse=True).getsockname()[1]
            opener(port=port, reuse=True)
            error = self.assertRaises(ListenError, opener, port=port, reuse=False)
            self.assertIn("Address already in use (errno 98)", str(error))

    def test_errors(self) -> None:
        """
        An error is one line: transport, address, reason, number.
        """
        there = Address(socket.AF_INET, "192.0.2.1")
        error = self.assertRaises(ListenError, openDatagram, there, 7, reuse=False)
        self.assertEqual(
            str(error),
            "cannot listen on UDP 192.0.2.1:7: Cannot assign requested address (errno 99); "
            "this machine does not have that address",
        )

    def test_noFamily(self) -> None:
        """
        So is a family that the machine does not have.
        """

        def missing(*_: object) -> None:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

        self.patch(socket, "socket", missing)
        error = self.assertRaises(ListenError, openDatagram, LOOPBACK, 7, reuse=False)
        self.assertIn("UDP 127.0.0.1:7: Address family not supported", str(error))

    def openAll(self, *interfaces: str, port: int = 0) -> list[socket.socket]:
        """
        Open TCP and UDP listeners.
        """
        options: Any = {"reuse": False, "backlog": 5, "linger": None}
        found = openAll(interfaces, port, ["TCP", "UDP"], **options)
        return [self.opened(listener) for listener in found]

    def test_sameNumber(self) -> None:
        """
        A free port is the same for TCP and UDP, and at each address.
        """
        listeners = self.openAll("127.0.0.1", "127.0.0.2", "::1")
        self.assertEqual(len(listeners), 6)
        self.assertEqual(len({listener.getsockname()[1] for listener in listeners}), 1)

    def test_sameNumberAgain(self) -> None:
        """
        If the number that TCP got is taken for UDP, another is tried.
        """
        tries = []

        def taken(address: Address, port: int, *, reuse: bool) -> socket.socket:
            tries.append(port)
            if len(tries) < 3:
                raise ListenError("UDP", "", OSError(errno.EADDRINUSE, "in use"))
            return openDatagram(address, port, reuse=reuse)

        self.patch(sockets, "openDatagram", taken)
        self.assertEqual(len(self.openAll("127.0.0.1")), 2)
        self.assertEqual(len(tries), 3)

    def test_allOrNothing(self) -> None:
        """
        If one listener cannot be opened, the others are released.
        """
        port = self.opened(openDatagram(LOOPBACK, 0, reuse=False)).getsockname()[1]
        self.assertRaises(ListenError, self.openAll, "127.0.0.2", "127.0.0.1", port=port)
        self.assertEqual(len(self.openAll("127.0.0.2", port=port)), 2)

    def test_twice(self) -> None:
        """
        One address called by two names is opened once.
        """
        self.assertEqual(len(self.openAll("127.0.0.1", "127.0.0.1")), 2)

    def test_families(self) -> None:
        """
        ``::`` is IPv6 alone, so that ``0.0.0.0`` can stand beside it.
        """
        self.assertEqual(len(self.openAll("0.0.0.0", "::")), 4)


class PacketInfoTests(SynchronousTestCase):
    """
    Tests for answering from the asked address.
    """

    def test_none(self) -> None:
        """
        Where nothing was told, nothing is asked for.
        """
        self.assertEqual(packetinfo.answering(socket.SOL_SOCKET, 1, b""), ([], False))

    def test_linkLocal(self) -> None:
        """
        A link-local address keeps its network interface; others are left to
        the routing table.
        """
        kind = socket.IPV6_PKTINFO
        for host, kept in [("fe80::1", 7), ("febf::1", 7), ("fec0::1", 0), ("2001:db8::1", 0)]:
            asked = socket.inet_pton(socket.AF_INET6, host)
            told = packetinfo.answering(socket.IPPROTO_IPV6, kind, asked + bytes([7, 0, 0, 0]))
            expected = (socket.IPPROTO_IPV6, kind, asked + bytes([kept, 0, 0, 0]))
            self.assertEqual(told, ([expected], False))

    def test_group(self) -> None:
        """
        Multicast and broadcast addresses are recognised.
        """
        multicast = socket.inet_pton(socket.AF_INET6, "ff02::1") + bytes(4)
        kind = socket.IPV6_PKTINFO
        self.assertTrue(packetinfo.answering(socket.IPPROTO_IPV6, kind, multicast)[1])
        ours, broadcast = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 255])
        for asked, toGroup in [(broadcast, True), (ours, False)]:
            told = packetinfo.answering(socket.IPPROTO_IP, 8, bytes(4) + ours + asked)
            expected = [(socket.IPPROTO_IP, 8, bytes(4) + ours + ours)]
            self.assertEqual(told, (expected, toGroup))

    def test_early(self) -> None:
        """
        A datagram that came before we asked is answered from the address that it
        was sent to, all the same.
        """
        with (
            socket.socket(type=socket.SOCK_DGRAM) as listener,
            socket.socket(type=socket.SOCK_DGRAM) as client,
        ):
            listener.bind(("0.0.0.0", 0))
            listener.settimeout(10)
            client.connect(("127.0.0.5", listener.getsockname()[1]))
            client.settimeout(10)
            client.send(b"early")
            packetinfo.ask(listener)
            datagram, peer, answering, toGroup = packetinfo.receive(listener, 100)
            self.assertFalse(toGroup)
            packetinfo.send(listener, datagram, answering, peer)
            self.assertEqual(client.recv(100), b"early")
        for asked, toGroup in [([224, 0, 0, 1], True), ([255] * 4, True), ([223] * 4, False)]:
            told = packetinfo.answering(socket.IPPROTO_IP, 8, bytes(8) + bytes(asked))
            self.assertEqual(told[1], toGroup)

    def test_plain(self) -> None:
        """
        Without recvmsg datagrams are echoed all the same.
        """
        with openDatagram(LOOPBACK, 0, reuse=False) as listener:
            packetinfo._sendPlainly(listener, b"hello", [], listener.getsockname())
            received = packetinfo._receivePlainly(listener, 100)
            self.assertEqual(received, (b"hello", listener.getsockname(), [], False))
