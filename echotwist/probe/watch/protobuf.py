"""
Write metrics as protocol buffers, with native histograms (pure).

A Prometheus that collects native histograms asks for this format.  The messages are those of
`metrics.proto <https://github.com/prometheus/client_model>`_; this module writes the part
that the probe needs, as the client library for Python writes none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from echotwist.probe.schedule import SECOND
from echotwist.probe.watch.exposition import Family, Labels
from echotwist.probe.watch.histogram import BOUNDS, SCHEMA, Histogram

#: The media type.
KIND = b"application/vnd.google.protobuf"

#: The ``MetricType`` of each kind, and the field of ``Metric`` for its value.
_TYPES = {"counter": (0, 3), "gauge": (1, 2), "histogram": (4, 7)}

_DOUBLE = struct.Struct("<d")


class Protobuf:
    """
    Write series as ``MetricFamily`` messages, each with its length before it.
    """

    contentType = (
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
        "encoding=delimited"
    )

    def __init__(self) -> None:
        self._metrics: dict[Family, list[bytes]] = {}

    def add(self, family: Family, labels: Labels, value: float | Histogram) -> None:
        """
        Add one series.
        """
        pairs = b"".join(_bytes(1, _text(1, name) + _text(2, said)) for name, said in labels)
        _, field = _TYPES[family.kind]
        isMany = isinstance(value, Histogram)
        inner = b"".join(_histogram(value)) if isMany else _double(1, value)  # type: ignore[arg-type]
        self._metrics.setdefault(family, []).append(_bytes(4, pairs + _bytes(field, inner)))

    def finish(self) -> bytes:
        """
        Return the page.
        """
        parts = []
        for family, metrics in self._metrics.items():
            kind, _ = _TYPES[family.kind]
            head = _text(1, family.name) + _text(2, family.help) + _number(3, kind)
            message = head + b"".join(metrics)
            parts += [_varint(len(message)), message]
        return b"".join(parts)


def _histogram(found: Histogram) -> Iterator[bytes]:
    """
    Encode a ``Histogram``: the classic buckets, then the native ones.
    """
    found.settle()
    yield _number(1, sum(found.wide)) + _double(2, found.total / SECOND)
    count = 0
    for bound, more in zip(BOUNDS, found.wide, strict=False):
        count += more
        yield _bytes(3, _number(1, count) + _double(2, bound / SECOND))
    yield _number(5, _zigzag(SCHEMA)) + _double(6, 0.0) + _number(7, found.zero)
    indexes = sorted(found.narrow)
    # Spans of consecutive buckets; each bucket is the difference from the one before.
    end = before = 0
    for start, length in _spans(indexes):
        yield _bytes(12, _number(1, _zigzag(start - end)) + _number(2, length))
        end = start + length
    for index in indexes:
        yield _number(13, _zigzag(found.narrow[index] - before))
        before = found.narrow[index]
    if not indexes:
        # A span marks the histogram as native even if it is empty.
        yield _bytes(12, _number(1, 0) + _number(2, 0))


def _spans(indexes: list[int]) -> list[tuple[int, int]]:
    """
    Return the start and the length of each span of consecutive indexes.
    """
    spans: list[tuple[int, int]] = []
    for index in indexes:
        if spans and sum(spans[-1]) == index:
            spans[-1] = spans[-1][0], spans[-1][1] + 1
        else:
            spans.append((index, 1))
    return spans


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + _DOUBLE.pack(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode("utf-8", "backslashreplace"))
