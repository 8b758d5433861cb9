"""
``echoprobe explain``: read captures, and report what happened to probes.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any

from attrs import define, field

from echotwist.commandline.versions import program
from echotwist.probe.explain.capture import packetsIn
from echotwist.probe.explain.fates import Key, Passage, View, isClientFirst
from echotwist.probe.explain.packets import Datagrams, LinkError, packetIn, pieceOf, placeOf
from echotwist.probe.explain.result import METRICS, resultsOf
from echotwist.probe.explain.settings import ExplainSettings
from echotwist.probe.payload import HEADER, Payload
from echotwist.probe.places import ProbeError
from echotwist.probe.result import exitStatus
from echotwist.probe.verdict import verdictOf

#: The version of the report of ``--json``; see :data:`echotwist.probe.result.VERSION`.
VERSION = 1


@define
class Reading:
    """
    The contents of one capture.

    :ivar inPart: packets of which only the beginning was captured.
    :ivar unread: packets of unknown link types, by the type.
    """

    path: str
    packets: int = 0
    inPart: int = 0
    unread: Counter[int] = field(factory=Counter)
    tcp: int = 0
    misdated: int = 0
    probes: int = 0
    tooShort: int = 0
    incomplete: int = 0
    beganAt: int | None = None
    endedAt: int | None = None

    @property
    def doubts(self) -> list[str]:
        """
        Say why there may be probes that were not recognized.
        """
        found = []
        if self.unread:
            kinds = ", ".join(map(str, sorted(self.unread)))
            found.append(f"link type {kinds}: none of Ethernet, Linux cooked, raw IP and loopback")
        if self.tooShort:
            found.append("of some datagrams too little was captured (snaplen)")
        if self.misdated:
            found.append(
                f"{self.misdated} seem to be, but a day or more from their time; give their --seed"
            )
        return found

    @property
    def hints(self) -> list[str]:
        """
        Describe packets that cannot be probes.
        """
        return [f"{self.tcp} are of TCP; explain reads UDP and raw IP"] if self.tcp else []


def readingOf(path: str, payload: Payload | None) -> tuple[Reading, dict[Key, Passage]]:
    """
    Read a file.

    :raise ProbeError: it cannot be read.
    """
    reading, view, datagrams = Reading(path), View(payload), Datagrams()
    for at, link, data, interface in packetsIn(path):
        reading.packets += 1
        reading.beganAt = at if reading.beganAt is None else min(at, reading.beganAt)
        reading.endedAt = max(at, reading.endedAt or 0)
        try:
            piece = pieceOf(packetIn(link, data))
        except LinkError:
            reading.unread[link] += 1
            continue
        if piece is None:
            continue
        reading.inPart += len(piece.data) < piece.size
        reading.tcp += piece.protocol == socket.IPPROTO_TCP
        if (datagram := datagrams.take(piece)) is not None:
            view.see(at, datagram, (interface, placeOf(link, data)))
    reading.probes, reading.tooShort = view.probes, view.tooShort
    reading.misdated, reading.incomplete = view.misdated, datagrams.incomplete
    return reading, view.passages()


def _check(readings: Sequence[Reading]) -> None:
    """
    Check that there are probes: of two captures one may have none, if all were lost before.

    :raise ProbeError: a capture has none, or perhaps some that cannot be read.
    """
    isAny = any(one.probes for one in readings)
    for one in readings:
        if not one.probes and (one.doubts or not isAny):
            why = "".join(f"; {why}" for why in [*one.doubts, *one.hints])
            raise ProbeError(f"{one.path}: none of its {one.packets} packets is of a probe{why}")


class Explanation:
    """
    The report on one or two captures.

    :param files: the paths of the captures.
    :param writer: writes the results; see :mod:`echotwist.probe.output`.
    """

    def __init__(self, settings: ExplainSettings, files: Sequence[str], writer: Any) -> None:
        self._settings, self._files, self._writer = settings, files, writer

    def run(self) -> int:
        """
        Read the captures, and write the report.

        :return: the exit status.
        :raise ProbeError: a file cannot be read, or has none of our probes.
        """
        report = self.report()
        self._writer.end(report)
        return int(report["status"])

    def report(self) -> dict[str, Any]:
        """
        Return the report.
        """
        seed = self._settings.seed
        payload = None
        if seed is not None:
            payload = Payload(seed.encode("utf-8", "surrogateescape"), HEADER)
        found = [readingOf(path, payload) for path in self._files]
        _check([reading for reading, _ in found])
        if len(found) == 1:
            roles: list[str | None] = [None]
        elif isClientFirst(found[0][1], found[1][1]):
            roles = ["client", "service"]
        else:
            roles = ["service", "client"]
        views = {role: passages for role, (_, passages) in zip(roles, found, strict=True)}
        near = views[None] if len(found) == 1 else views["client"]
        results = list(resultsOf(near, views.get("service")))
        files = [_fileOf(one, role) for role, (one, _) in zip(roles, found, strict=True)]
        return self._judged(files, results)

    def _judged(self, files: list[dict[str, Any]], results: list[dict[str, Any]]) -> dict[str, Any]:
        verdicts = [verdictOf(text, METRICS) for text in self._settings.failIf]
        judged = [verdict.judge(result) for verdict in verdicts for result in results]
        isSilent = any(not one["back"] for one in results)
        return {
            "schema": "echoprobe-explain",
            "version": VERSION,
            "program": program(),
            "files": files,
            "results": results,
            "verdicts": judged,
            "status": exitStatus(judged, isSilent),
        }


def _fileOf(reading: Reading, role: str | None) -> dict[str, Any]:
    return {
        "path": reading.path,
        "role": role,
        "packets": reading.packets,
        "inPart": reading.inPart,
        "unread": reading.unread.total(),
        "probes": reading.probes,
        "tooShort": reading.tooShort,
        "incomplete": reading.incomplete,
        "beganNs": reading.beganAt,
        "endedNs": reading.endedAt,
    }
