"""
A capture as a sequence diagram, in SVG.

Letters and most lines have the colour of the text around (``currentColor``), and no
background, so a diagram that is part of a page is readable in its dark and in its light
form.  As a picture by itself it follows the reader's preference.  What is unusual differs
in colour and in shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from tests.support.captures.packets import Packet
from tests.support.captures.story import Step, told

#: Units between two lifelines, beside the outer ones, and in all for two of them: a
#: telephone shows as many pixels.
_BETWEEN, _MARGIN = 328, 16

#: Heights of a line of letters, of an arrow, and of what is after both.
_LINE, _ARROW, _GAP = 16, 8, 10

#: Letters of a payload that are shown.
_SHOWN = 34

#: Letters that fit between two lifelines.
WIDEST = 42

#: Seconds without a packet that are shown.
_PAUSE = 0.1

#: A line's dashes, its width, its head and the class of its colour, by what it stands for.
_LOOKS = {
    "": ("", 1.5, "filled", ""),
    "ACK": ("", 1, "open", ""),
    "many": ("", 4, "filled", ""),
    "lost": ("7 4", 1.5, "cross", "late"),
    "again": ("7 4", 1.5, "filled", "late"),
    "RST": ("", 3, "bar", "reset"),
    "ICMP": ("2 4", 2.5, "diamond", "error"),
}

_NOTES = {
    "lost": "lost on the way",
    "again": "sent again",
    "full": "window 0",
    "open": "window {window:,}",
    "probe": "probe",
}

_STYLE = """
svg.capture { font: 13px ui-monospace, "DejaVu Sans Mono", monospace; }
svg.capture text { fill: currentColor; }
svg.capture .name { font-weight: bold; }
svg.capture .dim { opacity: .75; }
svg.capture .state { font-size: 11px; font-style: italic; }
svg.capture .line { stroke: currentColor; fill: none; }
svg.capture .head { stroke: currentColor; fill: currentColor; }
svg.capture .late { color: #c77700; }
svg.capture .reset { color: #d1453b; }
svg.capture .error { color: #8a63d2; }
svg.capture:root { color: #222; }
@media (prefers-color-scheme: dark) { svg.capture:root { color: #ddd; } }
"""


def drawn(title: str, names: Sequence[str], packets: Sequence[Packet]) -> str:
    """
    Draw a capture.

    :param title: what it shows, for readers who do not see it.
    :param names: of the hosts, in the order in which they appear.
    """
    return _Diagram(title, names, packets).text()


def label(step: Step) -> str:
    """
    Say in a line what one arrow is.
    """
    packet = step.packet
    if step.mark == "many":
        return f"{step.count} segments, {step.size:,} bytes"
    size = f"{step.size:,} bytes" if step.size != 1 else "1 byte"
    if packet.kind != "TCP":
        return ", ".join([packet.kind, packet.about or size])
    flags = " ".join(name for name in ("SYN", "FIN", "RST", "PSH", "ACK") if name in packet.flags)
    numbers = [f"seq={packet.seq}" if packet.end > packet.seq else ""]
    numbers += [f"ack={packet.ack}" if "ACK" in packet.flags else ""]
    line = " ".join(filter(None, [flags, *numbers, size if step.size else ""]))
    return line if len(line) <= WIDEST else line.replace(f" {size}", "")


def payload(step: Step) -> str:
    """
    Show what a packet carried, if a person can read it.
    """
    data = step.packet.payload
    if not data or step.mark == "many" or step.packet.about:
        return ""
    shown = data[:_SHOWN].decode("ascii", "replace")
    if "\ufffd" in shown:
        return ""
    letters = "".join({"\n": "\\n", "\r": "\\r"}.get(letter, letter) for letter in shown)
    if not letters.isprintable():
        return ""
    return f"“{letters}”" if step.size <= _SHOWN else f"“{letters[: _SHOWN - 1]}…”"


def lines(step: Step) -> list[str]:
    """
    Return the lines above an arrow.
    """
    note = _NOTES.get(step.mark, "").format(window=step.packet.window)
    found = [label(step), payload(step), note]
    return [line for line in found if line]


class _Diagram:
    """
    The parts of a diagram, from the top down.
    """

    def __init__(self, title: str, names: Sequence[str], packets: Sequence[Packet]) -> None:
        self._title = title
        self._steps = told(packets)
        hosts = dict.fromkeys(host for one in packets for host in (one.sender, one.receiver))
        self._places = {host: _MARGIN + _BETWEEN * number for number, host in enumerate(hosts)}
        self._names = dict(zip(hosts, names, strict=True))
        self._addresses = {host: _addressesOf(host, packets) for host in hosts}
        self._width = 2 * _MARGIN + _BETWEEN * (len(hosts) - 1)
        self._height = 0.0

    def text(self) -> str:
        """
        Draw it all.
        """
        parts = [*self._heads(), *self._body()]
        start = _LINE * (max(map(len, self._addresses.values())) + 1)
        lifelines = [
            f'<path class="line dim" d="M{x} {start + 2}V{self._height:g}"/>'
            for x in self._places.values()
        ]
        described = "\n".join(map(self._inWords, self._steps))
        return "\n".join(
            [
                '<svg xmlns="http://www.w3.org/2000/svg" class="capture" role="img"'
                f' viewBox="0 0 {self._width} {self._height:g}">',
                f"<title>{escape(self._title)}</title>",
                f"<desc>{escape(described)}</desc>",
                f"<style>{_STYLE}</style>",
                *lifelines,
                *parts,
                "</svg>\n",
            ]
        )

    def _inWords(self, step: Step) -> str:
        packet = step.packet
        way = f"{self._names[packet.sender]} to {self._names[packet.receiver]}"
        return ": ".join([way, ", ".join(lines(step))])

    def _heads(self) -> Iterator[str]:
        for host, x in self._places.items():
            texts = [self._names[host], *self._addresses[host]]
            for number, text in enumerate(texts):
                kind = "dim" if number else "name"
                yield self._text(self._edge(x), 13 + _LINE * number, text, kind, self._anchor(x))
        self._height = 13 + _LINE * max(len(one) + 1 for one in self._addresses.values())

    def _body(self) -> Iterator[str]:
        before = 0.0
        for step in self._steps:
            if (pause := step.packet.at - before) >= _PAUSE:
                yield from self._paused(pause)
            before = step.packet.at
            yield from self._step(step)
        self._height += _GAP

    def _paused(self, seconds: float) -> Iterator[str]:
        self._height += _LINE
        yield self._text(self._width / 2, self._height, f"{seconds:.1f} s later", "dim", "middle")
        self._height += _GAP / 2

    def _step(self, step: Step) -> Iterator[str]:
        start, end = (self._places[host] for host in (step.packet.sender, step.packet.receiver))
        for line in lines(step):
            self._height += _LINE
            yield self._text((start + end) / 2, self._height, line, "", "middle")
        self._height += _ARROW
        yield from arrow(start, end, self._height, step)
        states = [(x, state) for x, state in zip((start, end), step.states, strict=True) if state]
        for x, state in states:
            beside = x + 5 if self._anchor(x) == "start" else x - 5
            yield self._text(beside, self._height + 16, state, "state", self._anchor(x))
        self._height += _GAP + 8 * bool(states)

    def _anchor(self, x: float) -> str:
        return "end" if x > self._width / 2 else "start"

    def _edge(self, x: float) -> float:
        return self._width - 2 if self._anchor(x) == "end" else x - _MARGIN + 2

    @staticmethod
    def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
        style = f' class="{kind}"' if kind else ""
        where = f' text-anchor="{anchor}"' if anchor != "start" else ""
        return f'<text x="{x:g}" y="{y:g}"{style}{where}>{escape(text)}</text>'


def _addressesOf(host: str, packets: Sequence[Packet]) -> list[str]:
    own = [one.source for one in packets if one.sender == host and one.kind != "ICMP"]
    own += [one.target for one in packets if one.receiver == host and one.kind != "ICMP"]
    # The fragments of a datagram have no port.
    whole = {address.partition(":")[0] for address in own if ":" in address}
    return list(dict.fromkeys(address for address in own if address not in whole))


def look(step: Step) -> tuple[str, float, str, str]:
    """
    Choose how an arrow looks: dashes, width, head and the class of its colour.
    """
    packet = step.packet
    if step.mark and step.mark in _LOOKS:
        return _LOOKS[step.mark]
    if packet.kind == "ICMP" or "RST" in packet.flags:
        return _LOOKS["ICMP" if packet.kind == "ICMP" else "RST"]
    isBare = packet.kind == "TCP" and packet.end == packet.seq
    return _LOOKS["ACK" if isBare else ""]


def arrow(start: float, end: float, y: float, step: Step) -> Iterator[str]:
    """
    Draw one arrow.
    """
    dashes, width, head, colour = look(step)
    way = 1 if end > start else -1
    # What is lost does not arrive.
    tip = end - way * (_BETWEEN // 4 if head == "cross" else 2)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    yield (
        f'<path class="line {colour}" stroke-width="{width}"{dashed}'
        f' d="M{start:g} {y:g}H{tip - way * 4:g}"/>'
    )
    back, beyond = tip - way * 9, tip - way * 18
    high, low = f"{y - 6:g}", f"{y + 6:g}"
    filled = f"M{back:g} {y - 5:g}L{tip:g} {y:g}L{back:g} {y + 5:g}"
    path = {
        "filled": f"{filled}Z",
        "open": filled,
        "bar": f"M{back:g} {high}V{low}M{tip:g} {high}V{low}",
        "diamond": f"M{beyond:g} {y:g}L{back:g} {high}L{tip:g} {y:g}L{back:g} {low}Z",
        "cross": f"M{tip - 6:g} {high}L{tip + 6:g} {low}M{tip - 6:g} {low}L{tip + 6:g} {high}",
    }[head]
    kind = "head" if head in ("filled", "diamond") else "line"
    wide = ' stroke-width="3"' if head in ("bar", "cross") else ""
    yield f'<path class="{kind} {colour}"{wide} d="{path}"/>'
