"""
Targets, and how a user writes them (pure).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from attrs import evolve, frozen

from echotwist.sockets.addresses import nameText

#: The port of the echo service (RFC 862), and the IP protocol for experiments (RFC 3692).
PORT, PROTOCOL = 7, 253

#: Kinds with a host, and the default port or protocol of each.
_DEFAULTS = {"udp": PORT, "tcp": PORT, "tls": PORT, "raw": PROTOCOL}

_PATHS = ("unix", "unix-datagram")

#: Kinds that send each probe as one datagram.
DATAGRAMS = ("udp", "unix-datagram", "raw")


@frozen
class Target:
    """
    One echo service.

    :param kind: ``udp``, ``tcp``, ``tls``, ``raw``, ``unix`` or ``unix-datagram``.
    :param host: a name or an address.
    :param number: the port, or the IP protocol of raw packets.
    :param path: the path of a UNIX socket; an abstract name begins with NUL.
    """

    kind: str
    host: str = ""
    number: int = 0
    path: str = ""

    @property
    def isDatagram(self) -> bool:
        """
        Whether each probe is one datagram.
        """
        return self.kind in DATAGRAMS

    def __str__(self) -> str:
        """
        Format the target as a user would write it.
        """
        if self.path:
            return f"{self.kind}:{nameText(self.path)}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}:{host}:{self.number}"


def targetsOf(text: str) -> list[Target]:
    """
    Parse a target: ``udp:HOST:PORT``, ``unix:PATH`` and so on; ``HOST:PORT`` alone means UDP
    and TCP.

    :raise ValueError: the text is not a target.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in _PATHS:
        return [Target(kind, path=_path(text, rest))]
    if colon and kind in _DEFAULTS and not _isAddress(text):
        return [_internet(text, kind, rest)]
    one = _internet(text, "udp", text)
    return [one, evolve(one, kind="tcp")]


def _path(text: str, path: str) -> str:
    if not path:
        raise ValueError(f"{text}: no path")
    for start in ("\\0", "@"):
        if path.startswith(start):
            return "\0" + path.removeprefix(start)
    return path


def _internet(text: str, kind: str, place: str) -> Target:
    host, number = _split(text, place)
    if not host:
        raise ValueError(f"{text}: no host; a target is HOST:PORT or udp:HOST:PORT")
    if number is None:
        return Target(kind, host, _DEFAULTS[kind])
    highest = 255 if kind == "raw" else 65535
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= highest):
        what = "IP protocol" if kind == "raw" else "port"
        raise ValueError(f"{text}: the {what} is not a whole number from 1 to {highest}")
    return Target(kind, host, int(number))


def _split(text: str, place: str) -> tuple[str, str | None]:
    if _isAddress(place):
        return place, None
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        if host.endswith("%"):
            raise ValueError(f"{text}: no network interface after the %")
        if not bracket or (rest and not rest.startswith(":")) or not _isAddress(host):
            raise ValueError(f"{text}: an IPv6 address goes in brackets: [2001:db8::1]:7")
        return host, rest[1:] if rest else None
    if place.count(":") > 1:
        raise ValueError(f"{text}: neither an IPv6 address nor HOST:PORT")
    host, colon, number = place.partition(":")
    return host, number if colon else None


def _isAddress(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def allTargets(texts: Iterator[str]) -> list[Target]:
    """
    Parse several targets.

    :raise ValueError: a text is not a target.
    """
    return [target for text in texts for target in targetsOf(text)]
