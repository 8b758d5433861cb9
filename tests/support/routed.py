"""
Two hosts with a router between them, whose links carry what a test wants.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest

from tests.support.namespaces import Namespace, run

#: Addresses of the service, whose last part is 1; the router's is 2.
SERVICE4, SERVICE6 = "10.98.2.1", "2001:db8:2::1"

#: The networks of the client and of the service, with the router's interfaces there.
_NETWORKS = {
    "there": ("service", "10.98.2", "2001:db8:2:"),
    "back": ("client", "10.98.1", "2001:db8:1:"),
}

#: What a router says of packets that are too large.
_TOO_BIG = {
    "iptables": "-p icmp --icmp-type fragmentation-needed",
    "ip6tables": "-p icmpv6 --icmpv6-type packet-too-big",
}
_FRAGMENTS = {"iptables": "-f", "ip6tables": "-m frag"}


class Routed(NamedTuple):
    """
    The three.
    """

    client: Namespace
    router: Namespace
    service: Namespace

    def carry(self, there: int = 1500, back: int = 1500) -> None:
        """
        Say how large packets may be; what hosts know of that from before, they forget.
        """
        for way, mtu in {"there": there, "back": back}.items():
            device, old, new = _NETWORKS[way]
            self.router.ip("route", "replace", f"{old}.0/24", "dev", device, *lock(mtu))
            self.router.ip("-6", "route", "replace", f"{new}:/64", "dev", device, *lock(mtu))
        for host in (self.client, self.service):
            host.ip("route", "flush", "cache")
            host.ip("-6", "route", "flush", "cache")

    def reset(self) -> None:
        """
        Have the router drop nothing.
        """
        for command in _TOO_BIG:
            self.router.execute(command, "-F")

    def silence(self) -> None:
        """
        Have the router not say that packets are too large.
        """
        for command, words in _TOO_BIG.items():
            self.router.execute(command, "-A", "OUTPUT", *words.split(), "-j", "DROP")

    def dropFragments(self, way: str) -> None:
        """
        Have the router drop fragments.

        :param way: ``there`` or ``back``.
        """
        device, _, _ = _NETWORKS[way]
        for command, words in _FRAGMENTS.items():
            rule = ["-A", "FORWARD", "-o", device, *words.split(), "-j", "DROP"]
            self.router.execute(command, *rule)


def lock(mtu: int) -> list[str]:
    """
    Return what has a route carry no more, whatever its interface does.
    """
    return ["mtu", "lock", str(mtu)]


@contextmanager
def routed() -> Iterator[Routed]:
    """
    Make two hosts with a router between them.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    hosts = Routed(*(Namespace(f"echoroute{os.getpid()}-{n}", n) for n in (1, 2, 3)))
    with ExitStack() as stack:
        for one in hosts:
            try:
                run("ip", "netns", "add", one.name)
            except (AssertionError, FileNotFoundError) as error:
                pytest.skip(f"cannot make a network namespace: {error}")
            stack.callback(run, "ip", "netns", "del", one.name)
            one.ip("link", "set", "lo", "up")
        for host, (device, old, new) in zip(
            (hosts.service, hosts.client), _NETWORKS.values(), strict=True
        ):
            end = ["type", "veth", "peer", "name", device, "netns", hosts.router.name]
            host.ip("link", "add", "name", "wire", *end)
            _furnish(host, "wire", f"{old}.1", f"{new}:1")
            _furnish(hosts.router, device, f"{old}.2", f"{new}:2")
            host.ip("route", "add", "default", "via", f"{old}.2")
            host.ip("-6", "route", "add", f"{new}:/64", "dev", "wire")
            host.ip("-6", "route", "add", "default", "via", f"{new}:2")
        hosts.router.setting("ipv4/ip_forward", 1)
        hosts.router.setting("ipv6/conf/all/forwarding", 1)
        # Any number of words of ICMP at once.
        hosts.router.setting("ipv4/icmp_ratelimit", 0)
        hosts.router.setting("ipv6/icmp/ratelimit", 0)
        hosts.carry()
        yield hosts


def _furnish(host: Namespace, device: str, old: str, new: str) -> None:
    # Link-local addresses at once, as neighbours are asked from them.
    host.setting(f"ipv6/conf/{device}/accept_dad", 0)
    host.ip("link", "set", device, "up")
    host.ip("addr", "add", f"{old}/24", "dev", device)
    host.ip("addr", "add", f"{new}/64", "dev", device, "nodad", "noprefixroute")
