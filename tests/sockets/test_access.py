"""
Which peers are served, by their addresses.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from echotwist.sockets.access import Access, networkOf

#: Networks near one another, so that many hold one address, with bits after the prefix.
HOSTS = strategies.one_of(
    strategies.ip_addresses(network="192.0.2.0/28").map(str),
    strategies.ip_addresses(network="192.0.2.0/28").map("::ffff:{}".format),
    strategies.ip_addresses(network="2001:db8::/124").map(str),
)
LENGTHS = strategies.one_of(strategies.integers(0, 128), strategies.integers(24, 32))
NETWORKS = strategies.lists(strategies.tuples(HOSTS, LENGTHS), max_size=6)


def bits(host: str) -> str:
    """
    Write the bits of an address, after the letter of its version.
    """
    if ":" not in host or host.startswith("::ffff:"):
        return "a" + "".join(f"{byte:08b}" for byte in socket.inet_aton(host.rpartition(":")[2]))
    return "b" + "".join(f"{byte:08b}" for byte in socket.inet_pton(socket.AF_INET6, host))


def prefixes(networks: list[tuple[str, int]]) -> dict[str, str]:
    """
    Return networks as text, each with the bits that all of its addresses begin with.
    """
    found = {}
    for host, length in networks:
        prefix = bits(host)[: 1 + length]
        written = min(length, len(bits(host)) - 1) + 96 * host.startswith("::ffff:")
        found[f"{host}/{written}"] = prefix
    return found


class AccessTests(SynchronousTestCase):
    """
    Tests for :class:`Access`.
    """

    @given(HOSTS, NETWORKS, NETWORKS)
    def test_longest(
        self, host: str, allow: list[tuple[str, int]], deny: list[tuple[str, int]]
    ) -> None:
        """
        The longest prefix decides; of equal ones, the one that is denied; of the rest
        everybody is served, unless somebody is allowed.
        """
        allowed, denied = prefixes(allow), prefixes(deny)
        found = [(len(one), 0) for one in allowed.values() if bits(host).startswith(one)]
        found += [(len(one), 1) for one in denied.values() if bits(host).startswith(one)]
        isDenied = max(found)[1] if found else bool(allowed)
        refusal = Access(allowed, denied).refusal(host)
        self.assertEqual(refusal, "not allowed" if isDenied else "")

    def test_rules(self) -> None:
        """
        So it is, line by line.
        """
        for allow, deny, served, others in [
            ("", "", "192.0.2.7 ::1", ""),
            ("192.0.2.7", "", "192.0.2.7 ::ffff:192.0.2.7", "192.0.2.8 ::1 ::c000:207"),
            ("192.0.2.0/24", "", "192.0.2.0 192.0.2.255", "192.0.1.255 192.0.3.0"),
            ("", "192.0.2.7", "192.0.2.6 192.0.2.8 ::1", "192.0.2.7 ::ffff:192.0.2.7"),
            ("10.0.0.0/8", "10.1.0.0/16", "10.0.0.1 10.2.0.0", "10.1.2.3 11.0.0.0"),
            ("10.1.0.0/16", "10.0.0.0/8", "10.1.2.3", "10.0.0.1 10.2.0.0 11.0.0.0"),
            ("10.1.2.3", "0.0.0.0/0", "10.1.2.3", "10.1.2.4 ::1"),
            ("10.0.0.0/8", "10.0.0.0/8", "", "10.0.0.1 ::1"),
            ("0.0.0.0/0", "", "192.0.2.7 ::ffff:192.0.2.7", "::1 ::192.0.2.7"),
            ("::/0", "", "::1 fe80::1%eth0", "192.0.2.7 ::ffff:192.0.2.7"),
            ("", "::/0", "192.0.2.7 ::ffff:192.0.2.7", "::1"),
            ("fe80::/10", "fe80::2", "fe80::1 fe80::1%eth0", "fe80::2%eth0 fec0::1 ::1"),
            ("::ffff:192.0.2.0/120", "", "192.0.2.7 ::ffff:192.0.2.7", "192.0.3.1 ::1"),
            ("192.0.2.7/24 ::1", "", "192.0.2.1 ::1", "192.0.3.7 ::2"),
            ("", "192.0.2.7", "example.onion", ""),
            ("192.0.2.7", "", "", "example.onion"),
        ]:
            access = Access(allow.split(), deny.split())
            for host in served.split():
                self.assertEqual(access.refusal(host), "", (allow, deny, host))
            for host in others.split():
                self.assertEqual(access.refusal(host), "not allowed", (allow, deny, host))

    @given(strategies.text())
    def test_text(self, text: str) -> None:
        """
        Any text is a network or is refused in one line.
        """
        try:
            network = networkOf(text)
        except ValueError as error:
            self.assertEqual(len(str(error).splitlines()), 1)
        else:
            self.assertEqual(ip_address(text.partition("/")[0]).version, network.version)

    def test_noNetworks(self) -> None:
        """
        Texts that are nearly networks are none.
        """
        for text in ["", "eth0", "10.0.0.0/33", "::/129", "10.0.0", "10.0.0.0/", "10.0.0.0/8,::1"]:
            self.assertIn("not an address", str(self.assertRaises(ValueError, networkOf, text)))
        for text in ["fe80::1%eth0", "fe80::%eth0/64"]:
            self.assertIn("interface", str(self.assertRaises(ValueError, networkOf, text)))
