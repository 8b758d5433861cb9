"""
What a probe carries, and how it was changed on its way (pure).

The first 8 bytes are its number, the next 8 the time when it was sent (nanoseconds
of ``CLOCK_REALTIME``), the next 8 a check that depends on both and on a seed.  All
are little-endian, so that a short probe still has the lower bytes of its number.
The rest is noise whose place depends on the check, or what somebody asked for.
"""

from __future__ import annotations

import struct
from hashlib import blake2b, shake_256

from attrs import frozen

_HEAD = struct.Struct("<QQ")
#: Bytes of the number alone, of number and time, and of those with the check.
NUMBER, HEAD, HEADER = 8, 16, 24

_OFFSETS = 2**16

#: Bytes of a damaged reply that are shown at the most, and bits that are counted.
SHOWN, _FEW = 32, 8


class Payload:
    """
    Makes what probes carry, and makes it again to compare.

    :param seed: bytes, at most 64, that make the probes of one run unlike others.
    :param size: bytes of a probe.
    :param fill: what comes after the header, again and again; nothing for noise.
    """

    def __init__(self, seed: bytes, size: int, fill: bytes | None = None) -> None:
        self.size = size
        self._keyed = blake2b(digest_size=HEADER - HEAD, key=seed)
        rest = max(0, size - HEADER)
        self._rest = rest
        self._fill = None if fill is None else (fill * (-(-rest // max(1, len(fill)))))[:rest]
        self._noise = shake_256(seed).digest(rest and rest + _OFFSETS)

    def make(self, number: int, sentAt: int) -> bytes:
        """
        Make what one probe carries.

        :param sentAt: when it is sent.
        """
        head = _HEAD.pack(number, sentAt)
        check = self._check(head)
        fill = self._fill
        if fill is None:
            start = check[0] | check[1] << 8
            fill = self._noise[start : start + self._rest]
        return (head + check + fill)[: self.size]

    def header(self, number: int, sentAt: int) -> bytes:
        """
        Make what one probe carries before its noise.
        """
        head = _HEAD.pack(number, sentAt)
        return (head + self._check(head))[: self.size]

    def _check(self, head: bytes) -> bytes:
        check = self._keyed.copy()
        check.update(head)
        return check.digest()

    def isOurs(self, data: bytes) -> bool:
        """
        Tell whether a header was made with our seed.
        """
        return len(data) >= HEADER and self._check(data[:HEAD]) == data[HEAD:HEADER]


def headOf(data: bytes) -> tuple[int, int | None]:
    """
    Read number and time, or what is there of the number alone.
    """
    if len(data) >= HEAD:
        number, sentAt = _HEAD.unpack_from(data)
        return number, sentAt
    return int.from_bytes(data[:NUMBER], "little"), None


@frozen
class Damage:
    """
    How a reply differs from what was sent.

    :param bit: the first bit that differs, counted from 0, that of the highest value
        first in each byte.
    :param pattern: in words.
    :param expected: the bytes from that one on, some of them.
    :param got: those that came instead.
    """

    bit: int
    pattern: str
    expected: bytes
    got: bytes


def damageOf(expected: bytes, got: bytes) -> Damage:
    """
    Say how a reply differs.

    :param expected: what was sent; it is not the same.
    """
    changed = _changed(expected, got)
    first = changed[0] if changed else min(len(expected), len(got))
    bit = 8 * first
    if changed:
        bit += 8 - (expected[first] ^ got[first]).bit_length()
    shown = slice(first, first + SHOWN)
    return Damage(bit, _pattern(expected, got, changed), expected[shown], got[shown])


def cutTo(left: int, size: int) -> str:
    """
    Name the damage of a reply of which so many bytes are left.
    """
    return f"cut to {left} of {size} bytes"


def before(expected: bytes, got: bytes | bytearray) -> int:
    """
    Count the bytes that stand before a reply, if what was sent can be found in it.
    """
    start = expected[:HEADER] if len(expected) >= NUMBER else expected
    return max(0, got.find(start))


def lined(expected: bytes, put: bytes) -> bytes:
    """
    Give a reply in which something stands before each line but the first.
    """
    return expected[:-1].replace(b"\n", b"\n" + put) + expected[-1:]


def beforeLines(expected: bytes, got: bytes) -> bytes:
    """
    Give what stands before each line of a reply, or each but the first, which may go on
    with that of the reply before; nothing if that is not all that differs.
    """
    inner, more = expected[:-1].count(b"\n"), len(got) - len(expected)
    for isFirst in (True, False):
        lines = inner + isFirst
        place = 0 if isFirst else expected.find(b"\n") + 1
        put = got[place : place + more // lines] if lines else b""
        if put and got == put * isFirst + lined(expected, put):
            return put
    return b""


def _changed(expected: bytes, got: bytes) -> list[int]:
    """
    Give the places of the bytes that differ.
    """
    pairs = enumerate(zip(expected, got, strict=False))
    return [place for place, (one, other) in pairs if one != other]


def _pattern(expected: bytes, got: bytes, changed: list[int]) -> str:
    """
    Name a kind of damage; there are not many, however many replies are damaged.
    """
    more = len(got) - len(expected)
    if put := beforeLines(expected, got):
        where = " each line" if b"\n" in expected[:-1] else ""
        return f"{len(put)} bytes put before{where}"
    if more > 0 and (extra := before(expected, got)):
        rest = got[extra:]
        words = [f"{extra} bytes put before"]
        if rest != expected:
            words.append(_pattern(expected, rest, _changed(expected, rest)))
        return ", ".join(words)
    words = [cutTo(len(got), len(expected))] if more < 0 else []
    words += [f"{more} bytes more"] if more > 0 else []
    bits = sum((expected[place] ^ got[place]).bit_count() for place in changed)
    if bits == 1:
        words.append("1 bit flipped")
    elif changed and not any(got[place] for place in changed):
        words.append("bytes set to zero")
    elif changed:
        words.append(f"{bits} bits flipped" if bits <= _FEW else "many bits flipped")
    return ", ".join(words)
