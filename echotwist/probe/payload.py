"""
The content of a probe, and how a reply differs from it (pure).

The first 8 bytes are the number of the probe, the next 8 the time when it was sent
(nanoseconds of ``CLOCK_REALTIME``), the next 8 a checksum of both and of a seed.  All are
little-endian, so that a short probe still has the lower bytes of its number.  The rest is
noise, from a place that depends on the checksum, or a fill that the user chose.
"""

from __future__ import annotations

import struct
from hashlib import blake2b, shake_256

from attrs import frozen

_HEAD = struct.Struct("<QQ")
#: Bytes of the number alone; of number and time; of number, time and checksum.
NUMBER, HEAD, HEADER = 8, 16, 24

_OFFSETS = 2**16

#: How many bytes of a damaged reply to show at most, and how many flipped bits to count.
SHOWN, _FEW = 32, 8


class Payload:
    """
    Make the content of probes, and make it again to compare.

    :param seed: bytes, at most 64, that make the probes of this run differ from others.
    :param size: bytes of a probe.
    :param fill: what follows the header, repeated; ``None`` for noise.
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
        Make the content of a probe.

        :param sentAt: the time that it carries, in nanoseconds of ``CLOCK_REALTIME``.
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
        Make the header of a probe.
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
    Read number and time; the time is ``None`` if the data is too short for it.
    """
    if len(data) >= HEAD:
        number, sentAt = _HEAD.unpack_from(data)
        return number, sentAt
    return int.from_bytes(data[:NUMBER], "little"), None


@frozen
class Damage:
    """
    The difference between a reply and its probe.

    :param bit: the first bit that differs, counted from 0; in each byte the most significant
        bit comes first.
    :param pattern: the kind of damage, in words.
    :param expected: some bytes of the probe, from the first that differs.
    :param got: the bytes of the reply in their place.
    """

    bit: int
    pattern: str
    expected: bytes
    got: bytes


def damageOf(expected: bytes, got: bytes) -> Damage:
    """
    Describe how a reply differs.

    :param expected: the right reply, which differs from ``got``.
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
    Describe a reply that was cut short.
    """
    return f"cut to {left} of {size} bytes"


def before(expected: bytes, got: bytes | bytearray) -> int:
    """
    Count the bytes before a reply; 0 if the right reply is not in it.
    """
    start = expected[:HEADER] if len(expected) >= NUMBER else expected
    return max(0, got.find(start))


def lined(expected: bytes, put: bytes) -> bytes:
    """
    Return a reply with some bytes before each line but the first.
    """
    return expected[:-1].replace(b"\n", b"\n" + put) + expected[-1:]


def beforeLines(expected: bytes, got: bytes) -> bytes:
    """
    Return the bytes before each line of a reply, or before each but the first, which may
    continue a line of the reply before; empty if that is not the only difference.
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
    Return the places of the bytes that differ.
    """
    pairs = enumerate(zip(expected, got, strict=False))
    return [place for place, (one, other) in pairs if one != other]


def _pattern(expected: bytes, got: bytes, changed: list[int]) -> str:
    """
    Name the kind of damage; there are few kinds, even for many damaged replies.
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
