"""
The numbers of IP protocols (pure).
"""

from __future__ import annotations

#: Numbers of IP protocols.
PROTOCOLS = range(256)

#: Protocols whose packets the kernel itself answers, unwraps or relies on (IANA's
#: numbers); an echo of them would interfere.
OWNED = {
    0: "IPv6 hop-by-hop options",
    1: "ICMP",
    2: "IGMP",
    4: "IPv4 in IP",
    6: "TCP",
    17: "UDP",
    33: "DCCP",
    41: "IPv6 in IP",
    43: "IPv6 routing header",
    44: "IPv6 fragments",
    47: "GRE",
    50: "ESP",
    51: "AH",
    58: "ICMPv6",
    59: "IPv6 without a next header",
    60: "IPv6 destination options",
    103: "PIM",
    108: "IPComp",
    115: "L2TP",
    132: "SCTP",
    135: "IPv6 mobility header",
    136: "UDP-Lite",
    137: "MPLS in IP",
    255: "raw packets that are only sent",
}
