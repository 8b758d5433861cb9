"""
Read files of captured packets (pcap, pcapng) with scapy.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import IO, Any, NamedTuple, cast

from echotwist.probe.places import ProbeError
from echotwist.probe.schedule import SECOND
from echotwist.sockets.errors import inWords

#: The most bytes of a packet that scapy returns.
_LARGEST = 2**16 - 1

_GZIP = b"\x1f\x8b"


class Packet(NamedTuple):
    """
    A captured packet.

    :param at: nanoseconds of ``CLOCK_REALTIME`` of the host that captured it.
    :param link: the type of its first header.
    :param data: its bytes, as far as they were captured.
    :param interface: the name of its network interface, if the file has it.
    """

    at: int
    link: int
    data: bytes
    interface: bytes | None = None


class _File:
    """
    A file that notices when it ends too soon.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.name = "capture"
        self.isCut = False

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.isCut |= 0 < len(data) < size
        return data

    def close(self) -> None:
        self._file.close()


class _Complaints(logging.Handler):
    """
    Collects scapy's complaints about a file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


def packetsIn(path: str) -> Iterator[Packet]:
    """
    Read all packets of a file.

    :raise ProbeError: the file is not a capture, or ends too soon; or scapy is missing.
    """
    if find_spec("scapy") is None:
        raise ProbeError(f"{path}: reading captures needs scapy: pip install 'echotwist[explain]'")
    log, heard = logging.getLogger("scapy.runtime"), _Complaints()
    before = log.propagate, log.handlers
    log.propagate, log.handlers = False, [heard]
    try:
        with open(path, "rb") as plain:
            isPacked = plain.peek(2)[:2] == _GZIP
            file = _File(cast(IO[bytes], gzip.GzipFile(fileobj=plain)) if isPacked else plain)
            yield from _packets(path, file, heard)
    except OSError as error:
        raise ProbeError(f"{path}: {inWords(error)}") from None
    except (EOFError, zlib.error):
        raise _cut(path) from None
    finally:
        log.propagate, log.handlers = before


def _cut(path: str) -> ProbeError:
    return ProbeError(f"{path}: the capture is damaged, or ends in the middle of a packet")


def _packets(path: str, file: _File, heard: _Complaints) -> Iterator[Packet]:
    from scapy.error import Scapy_Exception
    from scapy.utils import RawPcapReader

    try:
        reader: Any = RawPcapReader(cast(Any, file))
    except Scapy_Exception:
        if file.isCut and not heard.count:
            raise _cut(path) from None
        raise ProbeError(f"{path}: neither pcap nor pcapng") from None
    _keepSectionsApart(reader)
    for data, said in reader:
        if hasattr(said, "caplen"):
            if len(data) < min(said.caplen, _LARGEST):
                raise _cut(path)
            at = said.sec * SECOND + said.usec * (1 if reader.nano else 1000)
            yield Packet(at, reader.linktype, data)
        else:
            ticks = (said.tshigh or 0) << 32 | (said.tslow or 0)
            interface = getattr(said, "ifname", None)
            yield Packet(ticks * SECOND // said.tsresol, said.linktype, data, interface)
    # It ends without a word where it cannot go on.
    if heard.count or file.isCut or file.read(1):
        raise _cut(path)


def _keepSectionsApart(reader: Any) -> None:
    """
    Each section of a pcapng file has interfaces of its own; scapy adds them to those of the
    sections before, and then takes one for another.
    """
    begin = getattr(reader, "_read_block_shb", None)
    if begin is not None:

        def beginSection() -> None:
            reader.interfaces = []
            begin()

        reader._read_block_shb = beginSection
