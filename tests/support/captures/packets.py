"""
What a file of captured packets holds, read with scapy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The flags of TCP as scapy writes them, with their names (RFC 9293, section 3.1).
_FLAGS = {"S": "SYN", "F": "FIN", "R": "RST", "P": "PSH", "A": "ACK", "U": "URG"}

#: What an ICMP message "destination unreachable" says, by its code (RFC 792).
_UNREACHABLE = {0: "network", 1: "host", 2: "protocol", 3: "port"}


@dataclass(frozen=True)
class Packet:
    """
    A packet of IPv4 on an Ethernet.

    :param at: seconds since the first packet.
    :param sender: the MAC address of the host that sent it.
    :param receiver: that of the host it went to.
    :param source: its address, with the port if there is one.
    :param target: where it went, in the same way.
    :param kind: ``TCP``, ``UDP``, ``ICMP``, the number of another protocol, or a fragment.
    :param flags: of TCP.
    :param seq: of the first byte, relative to the initial sequence number.
    :param ack: the acknowledgment number, relative too.
    :param window: bytes that the sender can take.
    :param size: bytes that it carried.
    :param payload: the first of them, as many as were captured.
    :param about: what an ICMP message says, or which bytes a fragment has.
    """

    at: float
    sender: str
    receiver: str
    source: str
    target: str
    kind: str
    flags: frozenset[str] = frozenset()
    seq: int = 0
    ack: int = 0
    window: int = 0
    size: int = 0
    payload: bytes = b""
    about: str = ""

    @property
    def end(self) -> int:
        """
        The sequence number after it: SYN and FIN count as one byte each.
        """
        return self.seq + self.size + len(self.flags & {"SYN", "FIN"})


def read(path: Path) -> list[Packet]:
    """
    Read all packets of a file.
    """
    return list(_packets(path))


def _packets(path: Path) -> Iterator[Packet]:
    # It takes half a second to import.
    from scapy.layers.inet import IP
    from scapy.layers.l2 import Ether
    from scapy.utils import RawPcapReader

    #: For each direction the initial sequence number, and the factor of the window.
    starts: dict[str, int] = {}
    factors: dict[str, int] = {}
    first = None
    with RawPcapReader(str(path)) as packets:
        for data, times in packets:
            frame = Ether(data)
            at = times.sec + times.usec / 10**6
            first = at if first is None else first
            contents = _contents(frame[IP], starts, factors)
            yield Packet(at - first, frame.src, frame.dst, **contents)


def _contents(ip: Any, starts: dict[str, int], factors: dict[str, int]) -> dict[str, Any]:
    size = ip.len - 4 * ip.ihl
    kind = {6: "TCP", 17: "UDP", 1: "ICMP"}.get(ip.proto, f"IP protocol {ip.proto}")
    known = {"kind": kind, "source": ip.src, "target": ip.dst}
    if ip.frag or "MF" in str(ip.flags):
        # Only the first has another header than IP's.
        start = 8 * ip.frag
        about = f"bytes {start:,} to {start + size - 1:,}"
        return {**known, "kind": f"{kind} fragment", "size": size, "about": about}
    if kind == "ICMP":
        return {**known, "about": _unreachable(ip.payload)}
    if kind not in ("TCP", "UDP"):
        return {**known, "size": size, "payload": bytes(ip.payload)}
    known |= {"source": f"{ip.src}:{ip.sport}", "target": f"{ip.dst}:{ip.dport}"}
    carried = {"payload": bytes(ip.payload.payload)}
    if kind == "UDP":
        return {**known, **carried, "size": size - 8}
    size -= 4 * ip.payload.dataofs
    return {**known, **carried, "size": size, **_numbers(ip.payload, known, starts, factors)}


def _numbers(
    tcp: Any, known: dict[str, str], starts: dict[str, int], factors: dict[str, int]
) -> dict[str, Any]:
    flags = frozenset(name for letter, name in _FLAGS.items() if letter in str(tcp.flags))
    source, target = known["source"], known["target"]
    if "SYN" in flags:
        starts[source] = tcp.seq
        factors[source] = 2 ** dict(tcp.options).get("WScale", 0)
    factor = 1 if "SYN" in flags else factors.get(source, 1)
    ack = (tcp.ack - starts.get(target, tcp.ack)) % 2**32 if "ACK" in flags else 0
    seq = (tcp.seq - starts.get(source, tcp.seq)) % 2**32
    return {"flags": flags, "seq": seq, "ack": ack, "window": tcp.window * factor}


def _unreachable(icmp: Any) -> str:
    return f"{_UNREACHABLE[icmp.code]} unreachable" if icmp.type == 3 else f"type {icmp.type}"
