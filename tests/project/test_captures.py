"""
The lesson's captures are what happens on a wire, and their drawings are what they hold.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.captures import CAPTURES
from tests.support.captures.drawing import WIDEST, drawn, label, lines, look
from tests.support.captures.packets import Packet, read
from tests.support.captures.recording import drawing, record
from tests.support.captures.scenes import SCENES
from tests.support.captures.story import States, Step, marked, shape, told

#: Bytes of the largest drawing.
LARGEST = 60_000

#: Of a drawing, on pages of either kind: Furo's own, and white.
BACKGROUNDS = ["ffffff", "131416"]


def segment(flags: str, seq: int = 0, size: int = 0, ack: int = 0, **others: object) -> Packet:
    """
    Make a segment from a client to a server, or with ``back=True`` the other way.
    """
    ends = [("02:00:00:00:00:02", "10.99.0.2:40000"), ("02:00:00:00:00:01", "10.99.0.1:1234")]
    (sender, source), (receiver, target) = reversed(ends) if others.pop("back", False) else ends
    known = Packet(0.0, sender, receiver, source, target, "TCP", frozenset(flags.split()))
    changes: dict[str, object] = {"seq": seq, "size": size, "ack": ack, "window": 1000, **others}
    return replace(known, **changes)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_captured(name: str, tmp_path: Path) -> None:
    """
    What is captured now has the directions, flags, lengths and order of the lesson's
    capture.
    """
    assert shape(read(record(name, tmp_path))) == shape(read(CAPTURES / f"{name}.pcap"))


@pytest.mark.parametrize("name", SCENES)
def test_drawn(name: str) -> None:
    """
    A drawing is that of its capture, is small, and is well-formed.
    """
    text = (CAPTURES / f"{name}.svg").read_text("utf-8")
    assert text == drawing(name, CAPTURES / f"{name}.pcap"), "run python -m tests.captures --draw"
    assert len(text) < LARGEST
    root = ElementTree.fromstring(text)
    assert root.attrib["role"] == "img"
    assert "background" not in text
    assert not root.findall("{*}rect")


def test_all() -> None:
    """
    The folder has the captures of all scenes, and no others.
    """
    assert sorted(path.name for path in CAPTURES.iterdir()) == sorted(
        f"{name}.{end}" for name in SCENES for end in ("pcap", "svg")
    )


@pytest.mark.parametrize("name", SCENES)
def test_nothingOfTheMachine(name: str) -> None:
    """
    A capture bears only addresses that the test made, and begins when the clock did.
    """
    path = CAPTURES / f"{name}.pcap"
    for packet in read(path):
        assert {packet.sender, packet.receiver} == {"02:00:00:00:00:01", "02:00:00:00:00:02"}
        for address in (packet.source, packet.target):
            assert re.fullmatch(r"10\.99\.0\.\d+(:\d+)?", address)
    # The first packet's time follows the file's header of 24 bytes (pcap-savefile(5)).
    assert path.read_bytes()[24:32] == bytes(8)


@pytest.mark.parametrize("name", SCENES)
def test_fits(name: str) -> None:
    """
    No label is wider than the room between the lifelines.
    """
    shown = [line for step in told(read(CAPTURES / f"{name}.pcap")) for line in lines(step)]
    assert [line for line in shown if len(line) > WIDEST] == []


def test_story() -> None:
    """
    A client that closes first goes through the states of RFC 9293, and so does its peer.
    """
    states = States()
    seen = [
        states.after(one)
        for one in [
            segment("SYN"),
            segment("SYN ACK", ack=1, back=True),
            segment("ACK", 1, ack=1),
            segment("FIN ACK", 1, ack=1),
            # What was sent before the FIN came does not acknowledge it.
            segment("PSH ACK", 1, 5, ack=1, back=True),
            segment("ACK", 6, ack=2, back=True),
            segment("FIN ACK", 6, ack=2, back=True),
            segment("ACK", 2, ack=7),
        ]
    ]
    assert seen == [
        ("SYN_SENT", ""),
        ("SYN_RCVD", "ESTABLISHED"),
        ("", "ESTABLISHED"),
        ("FIN_WAIT_1", "CLOSE_WAIT"),
        ("", ""),
        ("", "FIN_WAIT_2"),
        ("LAST_ACK", "TIME_WAIT"),
        ("", "CLOSED"),
    ]


def test_together() -> None:
    """
    Of two ends that close at the same time, neither has seen the other's end yet.
    """
    states = States()
    for one in (segment("SYN"), segment("SYN ACK", ack=1, back=True), segment("ACK", 1, ack=1)):
        states.after(one)
    assert states.after(segment("FIN ACK", 1, ack=1)) == ("FIN_WAIT_1", "CLOSE_WAIT")
    assert states.after(segment("FIN ACK", 1, ack=1, back=True)) == ("LAST_ACK", "CLOSING")


def test_marks() -> None:
    """
    A segment that is sent again is found, and so are a window that closes, a probe of it,
    and a window that opens.
    """
    packets = [
        segment("PSH ACK", 1, 5),
        segment("PSH ACK", 1, 5),
        segment("ACK", 1, ack=6, back=True, window=0),
        segment("ACK", 5, back=False),
        segment("ACK", 1, ack=6, back=True, window=0),
        segment("ACK", 1, ack=6, back=True, window=4000),
    ]
    assert marked(packets) == ["lost", "again", "full", "probe", "", "open"]


def test_many() -> None:
    """
    Many segments in a row become one arrow for each direction, with their sum.
    """
    there = [segment("ACK", 1 + 100 * number, 100) for number in range(10)]
    back = [segment("ACK", 1, ack=101 + 100 * number, back=True) for number in range(10)]
    [one, other] = told([*there, *back, segment("PSH ACK", 1, 7, back=True)])
    assert label(one) == "10 segments, 1,000 bytes"
    assert label(other) == "PSH ACK seq=1 ack=0 7 bytes"


def test_looks() -> None:
    """
    A reset, an ICMP message, a lost segment and one that is sent again look like nothing
    else, also without colour.
    """
    icmp = replace(segment(""), kind="ICMP", about="port unreachable")
    steps = [
        Step(segment("RST")),
        Step(icmp),
        Step(segment("ACK", 1)),
        Step(segment("PSH ACK", 1, 5), size=5),
        *(Step(segment("PSH ACK", 1, 5), mark=mark, size=5) for mark in ("lost", "again", "many")),
    ]
    assert len({look(step)[:3] for step in steps}) == len(steps)
    assert [bool(look(step)[3]) for step in steps] == [True, True, False, False, True, True, False]


def test_colours() -> None:
    """
    Each colour stands out from a light page and from a dark one: WCAG 2.2, 1.4.11, asks
    for a contrast of 3 to 1.
    """
    text = drawn("", ["", ""], [segment("RST")])
    colours = re.findall(r"color: #(\w{6});", text)
    assert len(colours) == 3
    for colour in colours:
        for background in BACKGROUNDS:
            dark, light = sorted(map(luminance, (colour, background)))
            assert (light + 0.05) / (dark + 0.05) >= 3, (colour, background)


def luminance(colour: str) -> float:
    """
    Return the relative luminance of a colour (WCAG 2.2).
    """
    parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text() -> None:
    """
    What a packet carries is shown if a person can read it, and is no markup.
    """
    shown = segment("PSH ACK", 1, 8, payload=b"<b>&\r\n..")
    root = ElementTree.fromstring(drawn("a < b", ["one", "two"], [shown]))
    assert root.findtext("{*}title") == "a < b"
    assert "“<b>&\\r\\n..”" in [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert lines(Step(segment("PSH ACK", 1, 3, payload=b"\0\1\xff"), size=3)) == [
        "PSH ACK seq=1 ack=0 3 bytes"
    ]
