"""
Captured packets, read down to the datagrams that they carry (pure).
"""

from __future__ import annotations

import socket
import struct
from collections import OrderedDict
from typing import NamedTuple

from attrs import define, field

#: Link types (https://www.tcpdump.org/linktypes.html): those of IP alone, of BSD's
#: loopback, and of others.
_RAW, _NULL = {12, 14, 101, 228, 229}, {0, 108}
_ETHERNET, _COOKED, _COOKED2 = 1, 113, 276

#: The bits of a link type that name it; other bits concern the checksums of frames.
_LINK = 0xFFFF

#: Ethernet types of tags (802.1Q, 802.1ad), of IP, of PPPoE (RFC 2516) and of MPLS (RFC 3032).
_TAGS, _IP = {0x8100, 0x88A8, 0x9100}, {0x0800, 0x86DD}
_PPPOE, _MPLS = 0x8864, {0x8847, 0x8848}

#: What PPP says of IP, and bytes of the headers of PPPoE and PPP; bytes of a label of MPLS,
#: and the bit of its third byte that the last label has.
_PPP, _PPPOE_BYTES, _LABEL, _LAST_LABEL = {0x0021, 0x0057}, 8, 4, 1

#: Headers of IPv6 that others follow (RFC 8200, section 4), and that of fragments.
_OPTIONS, _FRAGMENT = {0, 43, 60}, 44

#: Headers that are in the way of a datagram: of other protocols than UDP no probe is one.
_UDP, _OTHERS = 17, {1, 2, 6, 41, 47, 50, 51, 58, 132}

#: Datagrams of which pieces are kept, at most; and bytes of a datagram that are.
_PENDING, _KEPT = 4096, 64


class Datagram(NamedTuple):
    """
    A datagram that passed by.

    :param kind: ``udp`` or ``raw``.
    :param source: address and port, or IP protocol.
    :param target: the same of where it went.
    :param head: the beginning of what it carried, as far as it was captured.
    :param isShort: less was captured than it had.
    """

    kind: str
    source: tuple[str, int]
    target: tuple[str, int]
    head: bytes
    isShort: bool


class Piece(NamedTuple):
    """
    What a packet of IP carried: a datagram, or a fragment of one.
    """

    protocol: int
    source: str
    target: str
    number: int
    offset: int
    isLast: bool
    data: bytes
    size: int


class LinkError(Exception):
    """
    A link type that :func:`packetIn` cannot read; its number.
    """


def packetIn(link: int, data: bytes) -> bytes:
    """
    Return the IP packet in a frame; empty if it has none.

    :raise LinkError: the link type is unknown.
    """
    link &= _LINK
    if link in _RAW:
        return data
    if link in _NULL:
        return data[4:]
    if link not in (_ETHERNET, _COOKED, _COOKED2):
        raise LinkError(link)
    # In the second version of cooked captures the type is the first field, not the last.
    kind, place = {_ETHERNET: (12, 14), _COOKED: (14, 16), _COOKED2: (0, 20)}[link]
    while len(data) >= place + 4 and _short(data, kind) in _TAGS:
        kind, place = place + 2, place + 4
    return _inside(data, kind, place)


def _inside(data: bytes, kind: int, place: int) -> bytes:
    """
    Return the IP packet after a header, and after those of PPPoE or MPLS.

    :param kind: the offset of the type field.
    :param place: the offset of what follows the header.
    """
    if len(data) < place + _PPPOE_BYTES:
        return b""
    what = _short(data, kind)
    if what == _PPPOE:
        isIp = _short(data, place + _PPPOE_BYTES - 2) in _PPP
        return data[place + _PPPOE_BYTES :] if isIp else b""
    if what not in _MPLS:
        return data[place:] if what in _IP else b""
    while len(data) > place + _LABEL and not data[place + 2] & _LAST_LABEL:
        place += _LABEL
    return data[place + _LABEL :]


def placeOf(link: int, data: bytes) -> bytes:
    """
    Return the part of a cooked capture's header that identifies interface and direction.
    """
    return data[4:11] if link == _COOKED2 else data[:2] if link == _COOKED else b""


def _short(data: bytes, place: int) -> int:
    return data[place] << 8 | data[place + 1]


def pieceOf(data: bytes) -> Piece | None:
    """
    Read an IP packet; ``None`` if it is not one, or if too little of it was captured.
    """
    try:
        version = data[0] >> 4
        return _four(data) if version == 4 else _six(data) if version == 6 else None
    except (struct.error, IndexError, ValueError):
        return None


def _four(data: bytes) -> Piece:
    first, _, total, number, fragment, _, protocol = struct.unpack_from("!BBHHHBB", data)
    start = (first & 15) * 4
    size = (total or len(data)) - start  # Of what the card cuts later the kernel says 0.
    source, target = (socket.inet_ntop(socket.AF_INET, data[n : n + 4]) for n in (12, 16))
    offset, isLast = (fragment & 0x1FFF) * 8, not fragment & 0x2000
    return Piece(protocol, source, target, number, offset, isLast, data[start : start + size], size)


def _six(data: bytes) -> Piece:
    _, length, following = struct.unpack_from("!IHB", data)
    end = 40 + length if length else len(data)
    source, target = (socket.inet_ntop(socket.AF_INET6, data[n : n + 16]) for n in (8, 24))
    place, number, offset, isLast = 40, 0, 0, True
    while following in _OPTIONS or following == _FRAGMENT:
        if following == _FRAGMENT:
            following, _, fragment, number = struct.unpack_from("!BBHI", data, place)
            offset, isLast = fragment & 0xFFF8, not fragment & 1
            place += 8
            if offset:
                break
        else:
            following, place = data[place], place + 8 + data[place + 1] * 8
    return Piece(following, source, target, number, offset, isLast, data[place:end], end - place)


@define
class _Pieces:
    """
    Those of a datagram that have come.
    """

    head: bytes = b""
    isShort: bool = False
    whole: int | None = None
    spans: set[tuple[int, int]] = field(factory=set)

    @property
    def isWhole(self) -> bool:
        """
        Whether no part is missing.
        """
        end = 0
        for start, stop in sorted(self.spans):
            if start > end:
                return False
            end = max(end, stop)
        return self.whole is not None and end >= self.whole


class Datagrams:
    """
    Put fragments together.

    :ivar incomplete: datagrams of which some fragment never came.
    """

    def __init__(self) -> None:
        self._pending: OrderedDict[tuple[str, str, int, int], _Pieces] = OrderedDict()
        self._given = 0

    @property
    def incomplete(self) -> int:
        """
        Count the datagrams of which some fragments are missing.
        """
        return self._given + len(self._pending)

    def take(self, piece: Piece) -> Datagram | None:
        """
        Take a piece.

        :return: the datagram that is whole now.
        """
        if not piece.offset and piece.isLast:
            return _datagram(piece, piece.data, len(piece.data) < piece.size)
        key = piece.source, piece.target, piece.protocol, piece.number
        pieces = self._pending.setdefault(key, _Pieces())
        pieces.spans.add((piece.offset, piece.offset + piece.size))
        pieces.isShort |= len(piece.data) < piece.size
        if piece.isLast:
            pieces.whole = piece.offset + piece.size
        if not piece.offset:
            pieces.head = piece.data[:_KEPT]
        if pieces.isWhole:
            del self._pending[key]
            return _datagram(piece, pieces.head, pieces.isShort)
        if len(self._pending) > _PENDING:
            self._pending.popitem(last=False)
            self._given += 1
        return None


def _datagram(piece: Piece, head: bytes, isShort: bool) -> Datagram | None:
    if piece.protocol in _OTHERS:
        return None
    if piece.protocol != _UDP:
        ends = [(one, piece.protocol) for one in (piece.source, piece.target)]
        return Datagram("raw", ends[0], ends[1], head[:_KEPT], isShort)
    if len(head) < 8:
        return Datagram("udp", (piece.source, 0), (piece.target, 0), b"", isShort)
    source, target = struct.unpack_from("!HH", head)
    return Datagram(
        "udp", (piece.source, source), (piece.target, target), head[8 : 8 + _KEPT], isShort
    )
