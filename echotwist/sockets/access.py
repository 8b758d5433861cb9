"""
Decide by their addresses which peers are served (pure).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

#: Bits before the IPv4 address in an IPv4-mapped IPv6 address (RFC 4291,
#: section 2.5.5.2).
_MAPPED = 96


def networkOf(text: str) -> IPv4Network | IPv6Network:
    """
    Parse an address, or a network in CIDR notation: ``10.0.0.0/8``.

    Bits after the prefix are ignored, as nginx, nftables and xinetd do:
    ``192.0.2.7/24`` is the network that this address is in.

    :raise ValueError: the text is neither; the error says why.
    """
    if "%" in text:
        raise ValueError("an address counts on every network interface; leave out % and its name")
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("not an address or a network, such as 192.0.2.7 or 10.0.0.0/8") from None
    host = _unmapped(found.network_address)
    if host.version == found.version or found.prefixlen < _MAPPED:
        return found
    return ip_network((int(host), found.prefixlen - _MAPPED))


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return getattr(address, "ipv4_mapped", None) or address


class Access:
    """
    Decide by its address whether a peer is served.

    The network with the longest prefix decides; a network that is both allowed and denied
    is denied.  Peers in none of the networks are served unless any network is allowed.

    :param allow: networks whose peers are served.
    :param deny: networks whose peers are not served.
    :raise ValueError: a text is not a network.
    """

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        allowed, denied = set(map(networkOf, allow)), set(map(networkOf, deny))
        self._servesOthers = not allowed
        # Sorted by version, then by bits after the prefix, fewest first, then by the prefix.
        self._tables: dict[int, dict[int, dict[int, bool]]] = {4: {}, 6: {}}
        for network in sorted(allowed | denied, key=lambda one: -one.prefixlen):
            rest = network.max_prefixlen - network.prefixlen
            table = self._tables[network.version].setdefault(rest, {})
            table[int(network.network_address) >> rest] = network not in denied

    def refusal(self, host: str) -> str:
        """
        Return why a peer must not be served; an empty text if it may be.

        :param host: the peer's address.
        """
        return "" if self._serves(host) else "not allowed"

    def _serves(self, host: str) -> bool:
        try:
            address = _unmapped(ip_address(host))
        except ValueError:  # The endpoint of a plugin may have its own form of addresses.
            return self._servesOthers
        number = int(address)
        for rest, table in self._tables[address.version].items():
            if (isServed := table.get(number >> rest)) is not None:
                return isServed
        return self._servesOthers
