"""
Encode and decode messages to and from the kernel (netlink(7)) (pure).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

#: ``NLM_F_REQUEST`` asks for one object; with ``NLM_F_DUMP`` it asks for all.
ASK_ONE, ASK_ALL = 0x001, 0x301

#: ``struct nlmsghdr``: size, type, flags, two numbers.
_MESSAGE = struct.Struct("=IHHII")

#: ``struct nlattr``: size and type.
_ATTRIBUTE = struct.Struct("=HH")


def request(kind: int, flags: int, body: bytes) -> bytes:
    """
    Make a message for the kernel.
    """
    return _MESSAGE.pack(_MESSAGE.size + len(body), kind, flags, 1, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """
    Make an attribute, to append to a message.
    """
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """
    Return type and body of each message that the kernel sent in one go.
    """
    at = 0
    while at + _MESSAGE.size <= len(data):
        size, kind, *_ = _MESSAGE.unpack_from(data, at)
        yield kind, data[at + _MESSAGE.size : at + size]
        at += _padded(max(size, _MESSAGE.size))


def attributes(body: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """
    Return type and value of each attribute of a message.

    :param start: where the attributes begin in the body, in bytes.
    """
    at = start
    while at + _ATTRIBUTE.size <= len(body):
        size, kind = _ATTRIBUTE.unpack_from(body, at)
        yield kind, body[at + _ATTRIBUTE.size : at + size]
        at += _padded(max(size, _ATTRIBUTE.size))


def _padded(size: int) -> int:
    return (size + 3) & ~3
