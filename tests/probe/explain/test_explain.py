"""
Captures, written by scapy, explained.
"""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echotwist.probe.explain.fates import View
from echotwist.probe.explain.packets import Datagram, Datagrams, LinkError, packetIn, pieceOf
from echotwist.probe.explain.result import numbersText, resultsOf
from echotwist.probe.payload import Payload
from echotwist.probe.schedule import SECOND
from tests.support.explaining import explained, said
from tests.support.live import ROOT
from tests.support.probing import bounded

#: When the first probe was sent, and the payloads of all.
BEGAN = 1_800_000_000 * SECOND
PAYLOAD = Payload(b"seed", 64)


def sentAt(number: int) -> int:
    """
    Tell when a probe was sent.
    """
    return BEGAN + number * SECOND // 100


def carried(number: int, size: int = 64) -> bytes:
    """
    Return what a probe carries.
    """
    return Payload(b"seed", size).make(number, sentAt(number))


#: A frame, the nanoseconds when it passed by, and how many bytes it had.
Frame = tuple[bytes, int, int]


def packets(number: int, isReply: bool, isSix: bool = False, size: int = 64) -> list[Any]:
    """
    Make the packets of a probe or its reply, with scapy.
    """
    from scapy.layers.inet import IP, UDP, fragment
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
    from scapy.packet import Raw

    client, service = ("2001:db8::1", "2001:db8::7") if isSix else ("192.0.2.1", "192.0.2.7")
    source, target = (service, client) if isReply else (client, service)
    ports = (7, 40000) if isReply else (40000, 7)
    inner = UDP(sport=ports[0], dport=ports[1]) / Raw(carried(number, size))
    if isSix:
        header = IPv6(src=source, dst=target)
        if size <= 1400:
            return [header / inner]
        return list(fragment6(header / IPv6ExtHdrFragment(id=number) / inner, 1280))
    return list(fragment(IP(src=source, dst=target, id=number) / inner, 1400))


def frames(
    numbers: Iterable[int], link: int, isSix: bool = False, size: int = 64, late: int = 0
) -> list[Frame]:
    """
    Return the frames of some probes and of their replies; the replies of even ones are lost.
    """
    ethertype = 0x86DD if isSix else 0x0800
    before = {
        1: bytes(12) + struct.pack("!HHHH", 0x88A8, 5, 0x8100, 7) + struct.pack("!H", ethertype),
        113: bytes(14) + struct.pack("!H", ethertype),
        276: struct.pack("!H", ethertype) + bytes(18),
        101: b"",
        0: b"\x02\0\0\0",
    }[link]
    found: list[Frame] = []
    for number in numbers:
        for isReply in (False, True):
            if not (isReply and number % 2 == 0):
                at = sentAt(number) + late + 1000 + 5000 * isReply
                for packet in packets(number, isReply, isSix, size):
                    data = before + bytes(packet)
                    found.append((data, at, len(data)))
    return found


def pcap(path: Path, link: int, found: Iterable[Frame]) -> Path:
    """
    Write a capture, with nanoseconds.
    """
    text = struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 2**18, link)
    for data, at, size in found:
        text += struct.pack("<IIII", at // SECOND, at % SECOND, len(data), size) + data
    path.write_bytes(text)
    return path


def pcapng(path: Path, link: int, found: Iterable[Frame]) -> Path:
    """
    Write a capture of the other format, in whose file times are in microseconds.
    """
    text = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    text += block(1, struct.pack("<HHI", link, 0, 0))
    for data, at, size in found:
        high, low = divmod(at // 1000, 2**32)
        padded = data + bytes(-len(data) % 4)
        text += block(6, struct.pack("<IIIII", 0, high, low, len(data), size) + padded)
    path.write_bytes(text)
    return path


def block(kind: int, body: bytes) -> bytes:
    """
    Make a block of pcapng.
    """
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


@pytest.mark.parametrize("isSix", [False, True])
@pytest.mark.parametrize("link", [0, 1, 101, 113, 276])
def test_links(tmp_path: Path, link: int, isSix: bool) -> None:
    """
    Captures of all usual links are read, in both formats, of IPv4 and IPv6.
    """
    for write in (pcap, pcapng):
        path = write(tmp_path / "some", link, frames(range(1, 11), link, isSix))
        [result] = explained(path)["results"]
        assert result["target"] == ("udp:[2001:db8::7]:7" if isSix else "udp:192.0.2.7:7")
        assert (result["sent"], result["back"]) == (10, 5)
        assert result["lost"]["beyond"] == {"count": 5, "numbers": [2, 4, 6, 8, 10]}
        assert result["rttNs"]["median"] == 5000
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert explained(packed)["results"] == [result]


@pytest.mark.parametrize("isSix", [False, True])
def test_fragments(tmp_path: Path, isSix: bool) -> None:
    """
    A datagram in fragments has come when all of them have, in whatever order.
    """
    found = frames([1, 3], 101, isSix, size=5000)
    assert len(found) > 12
    first = found[: len(found) // 4]
    mixed = [*first[::-1], *found[len(first) : -1]]
    report = explained(pcap(tmp_path / "some", 101, mixed))
    [result] = report["results"]
    assert (result["sent"], result["back"]) == (2, 1)
    assert report["files"][0]["incomplete"] == 1


#: What stands before packets of IPv4 on other links: behind a checksum that the link type
#: tells of; in a VLAN (``-i any``); in PPPoE; with two labels of MPLS.
LINKS = {
    "checksum": (0x1400_0001, bytes(12) + b"\x08\0"),
    "VLAN": (276, b"\x81\0\0\0\0\0\0\2\0\1\4\6" + bytes(8) + b"\0\7\x08\0"),
    "PPPoE": (1, bytes(12) + b"\x88\x64\x11\0\0\5\0\x60\0\x21"),
    "MPLS": (1, bytes(12) + b"\x88\x47\0\x01\0\x40\0\x02\x01\x40"),
}


@pytest.mark.parametrize("name", LINKS)
def test_headers(tmp_path: Path, name: str) -> None:
    """
    Whatever stands before a packet of IP is skipped.
    """
    link, before = LINKS[name]
    found = [(before + data, at, size) for data, at, size in frames(range(1, 11), 101)]
    report = explained(pcap(tmp_path / "some", link, found))
    assert (report["files"][0]["probes"], report["results"][0]["back"]) == (15, 5)


def test_sections(tmp_path: Path) -> None:
    """
    A file of several sections, as from ``cat``, is read to its end: each has interfaces of
    its own. Packets of unknown link types are told, and in the way of nothing.
    """
    some, other, odd = (tmp_path / name for name in ("some", "other", "odd"))
    pcapng(some, 101, frames(range(1, 6), 101))
    pcapng(other, 1, frames(range(6, 11), 1))
    pcapng(odd, 147, frames([11], 101))
    some.write_bytes(some.read_bytes() + other.read_bytes() + odd.read_bytes())
    report = explained(some)
    assert report["results"][0]["sent"] == 10
    assert (report["files"][0]["probes"], report["files"][0]["unread"]) == (15, 2)
    assert "17 packets, 15 of probes, 2 of another link type" in said(some)[1]


def test_tcp(tmp_path: Path) -> None:
    """
    That probes were sent over TCP is told in one line.
    """
    from scapy.layers.inet import IP, TCP
    from scapy.packet import Raw

    found = [(bytes(IP() / TCP() / Raw(carried(n))), sentAt(n), 104) for n in range(1, 4)]
    path = pcap(tmp_path / "some", 101, found)
    assert mistake(path) == (
        f"{path}: none of its 3 packets is of a probe; 3 are of TCP; explain reads UDP and raw IP"
    )


def test_clock(tmp_path: Path) -> None:
    """
    Where the clock of a host is wrong by years the seed of the probes is wanted, and enough.
    """
    near = pcap(tmp_path / "near", 101, frames(range(1, 11), 101))
    far = pcap(tmp_path / "far", 101, frames(range(1, 11), 101, late=-BEGAN + SECOND))
    assert mistake(near, far) == (
        f"{far}: none of its 15 packets is of a probe; 15 seem to be, but a day or more from "
        "their time; give their --seed"
    )
    [result] = explained(near, far, "--seed=seed")["results"]
    assert (result["reached"], result["back"]) == (10, 5)


def test_allLost(tmp_path: Path) -> None:
    """
    If no probe came to the other end, all were lost on the way there.
    """
    near = pcap(tmp_path / "near", 101, frames(range(2, 22, 2), 101))
    far = pcap(tmp_path / "far", 101, [])
    for words in ((near, far), (far, near)):
        report = explained(*words, status=3)
        assert {file["role"]: file["probes"] for file in report["files"]} == {
            "client": 10,
            "service": 0,
        }
        lost = report["results"][0]["lost"]
        assert (lost["there"]["count"], lost["count"]) == (10, 10)
    assert mistake(far, far) == f"{far}: none of its 0 packets is of a probe"


def test_late(tmp_path: Path) -> None:
    """
    That one capture may have begun late, or ended early, is told, but not of a few losses.
    """
    near = frames(range(1, 100, 2), 101)
    far = [one for one in near if numberOf(one) not in (11, 51, 53)]
    one, other = pcap(tmp_path / "near", 101, near), tmp_path / "far"
    for kept, alone in {
        (1, 99): (0, 0),
        (5, 95): (0, 0),
        (13, 99): (6, 0),
        (1, 79): (0, 10),
    }.items():
        some = [frame for frame in far if kept[0] <= numberOf(frame) <= kept[1]]
        [result] = explained(one, pcap(other, 101, some))["results"]
        assert tuple(result["alone"].values()) == alone
    text = said(one, other)[1]
    assert (
        "BEWARE: the last 10 probes are in one capture alone: they were lost, or the other one "
        "ended early" in text
    )


def test_ends(tmp_path: Path) -> None:
    """
    With captures of both ends each loss has its place, and each way its time; which is of
    which end shows, whatever the clocks say.
    """
    near, far = frames(range(1, 101), 101), frames(range(1, 101), 101, late=3 * SECOND)
    # At the service's end replies leave 1 microsecond after probes come, 2 later than they
    # left; and two probes never come, whose replies cannot come either.
    slow = [(data, at - 2000 if isBack(data) else at + 2000, size) for data, at, size in far]
    there = [one for one in slow if numberOf(one) not in (11, 12)]
    here = [one for one in near if not (isBack(one[0]) and numberOf(one) in (11, 13))]
    one, other = pcap(tmp_path / "near", 101, here), pcap(tmp_path / "far", 101, there)
    for words in ((one, other), (other, one)):
        report = explained(*words)
        assert {Path(file["path"]).name: file["role"] for file in report["files"]} == {
            "near": "client",
            "far": "service",
        }
        [result] = report["results"]
        lost = result["lost"]
        assert (result["sent"], result["reached"], result["answered"]) == (100, 98, 49)
        assert (result["back"], lost["count"]) == (48, 52)
        assert lost["there"]["numbers"] == [11, 12]
        assert lost["unanswered"]["numbers"] == [n for n in range(2, 101, 2) if n != 12]
        assert lost["back"]["numbers"] == [13]
        assert result["thereNs"]["median"] == 3 * SECOND + 2000
        assert result["backNs"]["median"] == 2000 - 3 * SECOND
        assert (result["rttNs"]["median"], result["serviceNs"]["median"]) == (5000, 1000)
    _, text, _ = said(one, other)
    assert "lost   2 on the way there: 11-12" in text
    assert "BEWARE: the clocks of the two hosts disagree by about 3 s: a delay is below 0" in text
    assert said(one, other, "--fail-if=lost-there>1")[0] == 1


def isBack(data: bytes) -> bool:
    """
    Tell whether a packet of IPv4 is a reply.
    """
    return data[15] == 7


def numberOf(frame: Frame) -> int:
    """
    Return the number of the probe in a packet of IPv4.
    """
    return int.from_bytes(frame[0][28:36], "little")


def test_snaplen(tmp_path: Path) -> None:
    """
    That packets were captured in part is told; without their header nothing is known.
    """
    whole = frames(range(1, 11), 101)
    report = explained(pcap(tmp_path / "some", 101, [(d[:60], at, n) for d, at, n in whole]))
    assert report["files"][0]["inPart"] == 15
    assert report["results"][0]["sent"] == 10
    path = pcap(tmp_path / "less", 101, [(d[:40], at, n) for d, at, n in whole])
    assert mistake(path) == (
        f"{path}: none of its 15 packets is of a probe; of some datagrams too little was "
        "captured (snaplen)"
    )


def mistake(*words: str | Path) -> str:
    """
    Return the line that a mistake is told with.
    """
    status, output, error = said(*words)
    assert (status, output) == (2, "")
    [line] = error.splitlines()
    return line.removeprefix("echoprobe: ")


def test_mistakes(tmp_path: Path) -> None:
    """
    What is no capture, or a damaged one, or has no probes, is told in one line.
    """
    some = frames(range(1, 11), 101)
    file = tmp_path / "file"
    file.write_text("no capture\n" * 10)
    assert mistake(file) == f"{file}: neither pcap nor pcapng"
    file.write_bytes(b"")
    assert mistake(file) == f"{file}: neither pcap nor pcapng"
    assert mistake(tmp_path / "none") == f"{tmp_path}/none: No such file or directory (errno 2)"
    assert mistake(tmp_path) == f"{tmp_path}: Is a directory (errno 21)"
    assert mistake() == mistake(file, file, file)
    assert mistake(pcap(file, 101, [])) == f"{file}: none of its 0 packets is of a probe"
    assert mistake(pcap(file, 147, some)) == (
        f"{file}: none of its 15 packets is of a probe; link type 147: none of Ethernet, Linux "
        "cooked, raw IP and loopback"
    )
    assert mistake(pcap(file, 101, some), "--seed=other").startswith(f"{file}: none of its 15")
    assert explained(file, "--seed=seed")["results"][0]["sent"] == 10
    for write in (pcap, pcapng):
        data = write(file, 101, some).read_bytes()
        for size in (10, 30, len(data) - 1, len(data) - 5, len(data) - 70, len(data) - 92):
            file.write_bytes(data[:size])
            assert mistake(file) in (
                f"{file}: the capture is damaged, or ends in the middle of a packet",
                f"{file}: neither pcap nor pcapng",
            )
        if write is pcapng:  # The second length of the first packet is wrong.
            [size] = struct.unpack_from("<I", data, 52)
            file.write_bytes(data[: 44 + size] + bytes(4) + data[48 + size :])
            assert mistake(file).startswith(f"{file}: the capture is damaged")
        packed = gzip.compress(data)
        file.write_bytes(packed[: len(packed) // 2])
        assert mistake(file).startswith(f"{file}: the capture is damaged")


def test_nothingBack(tmp_path: Path) -> None:
    """
    Where no reply was seen the status is 3.
    """
    path = pcap(tmp_path / "some", 101, frames([2, 4], 101))
    assert explained(path, status=3)["results"][0]["lost"]["share"] == 1


def test_missing(tmp_path: Path) -> None:
    """
    Without scapy one line says what to install; nothing else imports it.
    """
    code = (
        "import sys; from echotwist.probe import command, options; "
        "assert 'scapy' not in sys.modules; sys.modules['scapy'] = None; "
        "raise SystemExit(command.run(['explain', 'some.pcap']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "echoprobe: some.pcap: reading captures needs scapy: pip install 'echotwist[explain]'\n"
    )


@bounded
@given(st.sampled_from([0, 1, 101, 113, 276]), st.binary(max_size=200), st.integers(0, 200))
def test_anything(link: int, noise: bytes, cut: int) -> None:
    """
    Whatever a packet has in it, and wherever it is cut, reading it raises nothing.
    """
    datagrams, view = Datagrams(), View()
    whole = packets(1, False)[0]
    for data in (noise, bytes(whole)[:cut], bytes(whole)[:cut] + noise):
        piece = pieceOf(packetIn(link, data))
        if piece is not None and (found := datagrams.take(piece)) is not None:
            view.see(BEGAN, found)
    with pytest.raises(LinkError):
        packetIn(147, noise)


CLIENT, SERVICE, OUTSIDE = ("10.0.0.1", 4000), ("192.0.2.7", 7), ("192.0.2.1", 999)

#: How far a probe came: it never arrived, was not answered, its reply was lost, or came.
fates = st.lists(st.integers(0, 3), min_size=1, max_size=60)


@bounded
@given(fates, st.integers(-(10**12), 10**12), st.booleans())
def test_fates(fates: list[int], apart: int, isTranslated: bool) -> None:
    """
    Whatever became of probes is told, however far apart the clocks are, and through a NAT.
    """
    near, far = View(), View()
    outside = OUTSIDE if isTranslated else CLIENT
    for number, fate in enumerate(fates, 1):
        head, at = carried(number), sentAt(number)
        near.see(at, Datagram("udp", CLIENT, SERVICE, head, False))
        if fate > 0:
            far.see(at + apart + 10, Datagram("udp", outside, SERVICE, head, False))
        if fate > 1:
            far.see(at + apart + 20, Datagram("udp", SERVICE, outside, head, False))
        if fate > 2:
            near.see(at + 50, Datagram("udp", SERVICE, CLIENT, head, False))
    [result] = resultsOf(near.passages(), far.passages())
    places = [result["lost"][name]["numbers"] for name in ("there", "unanswered", "back")]
    expected = [[n for n, one in enumerate(fates, 1) if one == fate] for fate in range(3)]
    assert places == expected
    assert result["target"] == "udp:192.0.2.7:7"
    assert result["back"] == fates.count(3)
    assert result["unseen"] == 0


#: A service that has another address behind a NAT.
INSIDE = ("10.0.0.7", 7007)


@pytest.mark.parametrize("isTranslated", [False, True])
def test_twoInterfaces(isTranslated: bool) -> None:
    """
    On a host that forwards, each datagram passes by twice, with other addresses behind a
    NAT: it is one datagram, which was first there and last back. A copy that passes by the
    same interface counts.
    """
    view = View()
    service = INSIDE if isTranslated else SERVICE
    for number in (1, 2, 3):
        head, at = carried(number), sentAt(number)
        steps = [(10, CLIENT, SERVICE, "out"), (11, CLIENT, service, "in")]
        if number < 3:
            steps += [(20, service, CLIENT, "in"), (21, SERVICE, CLIENT, "out")]
        if number == 2:
            steps += [(22, SERVICE, CLIENT, "out")]
        for after, source, target, where in steps:
            view.see(at + after, Datagram("udp", source, target, head, False), where)
    [result] = resultsOf(view.passages(), None)
    assert result["target"] == "udp:192.0.2.7:7"
    assert (result["sent"], result["back"], result["twice"]) == (3, 2, 1)
    assert result["lost"]["beyond"]["numbers"] == [3]
    assert result["rttNs"]["max"] == 10 + isTranslated


def test_translated() -> None:
    """
    A probe of which the client's end has nothing belongs to the others, though the service
    has another address behind a NAT.
    """
    near, far = View(), View()
    for number in range(1, 6):
        head, at = carried(number), sentAt(number)
        if number > 1:
            near.see(at, Datagram("udp", CLIENT, SERVICE, head, False))
            near.see(at + 50, Datagram("udp", SERVICE, CLIENT, head, False))
        far.see(at + 10, Datagram("udp", CLIENT, INSIDE, head, False))
        far.see(at + 20, Datagram("udp", INSIDE, CLIENT, head, False))
    [result] = resultsOf(near.passages(), far.passages())
    assert (result["target"], result["sent"], result["back"]) == ("udp:192.0.2.7:7", 5, 4)


def test_numbers() -> None:
    """
    Numbers are told as spans, and not too many of them.
    """
    assert numbersText([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
    assert numbersText(range(1, 100, 2), 3) == "1, 3, 5, ..."
    assert numbersText([]) == ""
