"""
``echoprobe mtu``: find how large packets may be on the path to each target.
"""

from __future__ import annotations

import secrets
import socket
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import time_ns
from typing import Any

from attrs import define
from twisted.internet.defer import CancelledError, ensureDeferred

from echotwist.commandline.versions import program
from echotwist.probe.dialing import opened
from echotwist.probe.drawing import Drawing
from echotwist.probe.kinds import COURTEOUS
from echotwist.probe.measurement import sourceText
from echotwist.probe.mtu.byhand import handMade
from echotwist.probe.mtu.courier import UNANSWERED, UNSENT, Courier
from echotwist.probe.mtu.path import DatagramPath
from echotwist.probe.mtu.plot import draw
from echotwist.probe.mtu.result import METRICS, datagramResult, streamResult
from echotwist.probe.mtu.settings import MtuSettings
from echotwist.probe.mtu.stream import Dialer, StreamPath
from echotwist.probe.places import Place, ProbeError, findAll
from echotwist.probe.result import VERSION, judge, reasonsOf
from echotwist.probe.schedule import SECOND
from echotwist.probe.stoppable import Stoppable
from echotwist.probe.target import Target
from echotwist.probe.verdict import verdictOf
from echotwist.reactors import IReactor

#: Packets of a connection, as counted against the limit for addresses of others.
_PACKETS = 20


@define(eq=False)
class Case:
    """
    One address of a target.

    :ivar courier: sends datagrams there, for a UDP target.
    :ivar path: the measured path.
    :ivar began: nanoseconds since 1970.
    :ivar ended: nanoseconds since 1970.
    """

    target: Target
    place: Place
    courier: Courier | None = None
    path: Any = None
    began: int = 0
    ended: int = 0


class PathMtu(Stoppable):
    """
    Find the MTU of the paths to some targets, one after the other.

    :param reactor: waits.
    :param targets: the targets to probe.
    :param writer: writes the results; see :mod:`echotwist.probe.output`.
    :raise ProbeError: the measurement cannot begin; no socket is left open.
    """

    def __init__(
        self, reactor: IReactor, settings: MtuSettings, targets: Sequence[Target], writer: Any
    ) -> None:
        if sys.platform != "linux":
            raise ProbeError(
                "mtu needs Linux: other systems do not report packets that are too large"
            )
        self._reactor, self._settings, self._writer = reactor, settings, writer
        self._drawing = None if settings.plot is None else Drawing(settings.plot)
        self._cases = [
            Case(target, place) for target in targets for place in _places(target, settings)
        ]

    async def _run(self) -> int:
        for case in self._cases:
            if not self.isStopped:
                await self._measure(case)
        report = self.report()
        self._writer.end(report)
        if self._drawing is not None:
            results = report["results"]
            self._drawing.save(results, draw)
        return int(report["status"])

    async def _measure(self, case: Case) -> None:
        case.began = time_ns()
        one = self._open(case)
        try:
            with suppress(CancelledError):
                await self._step(ensureDeferred(case.path.measure()))
        finally:
            one.close()
            case.ended = time_ns()

    def _open(self, case: Case) -> Any:
        settings, target, place = self._settings, case.target, case.place
        isFree = place.isNear or settings.flood
        open = partial(opened, target, place, settings.way)
        if target.kind == "tcp":
            pace = 0 if isFree else _PACKETS / COURTEOUS
            dialer = Dialer(self._reactor, open, place, settings.timeout, pace)
            case.path = StreamPath(dialer)
            return dialer
        seed = secrets.token_bytes(16)
        pace = 0 if isFree else SECOND // COURTEOUS
        one = open()
        cutter = handMade(one.getsockname(), place, settings.way)
        case.courier = Courier(self._reactor, one, seed, pace, cutter)
        case.path = DatagramPath(case.courier, settings.tries, round(settings.timeout * SECOND))
        case.courier.late = case.path.heard
        return case.courier

    def report(self) -> dict[str, Any]:
        """
        Return the report of what is known so far.
        """
        results = [self._result(case) for case in self._cases if case.path is not None]
        verdicts = [verdictOf(text, METRICS) for text in self._settings.failIf]
        return {
            "schema": "echoprobe-mtu",
            "version": VERSION,
            "program": program(),
            "results": results,
            **judge(results, verdicts),
        }

    def _result(self, case: Case) -> dict[str, Any]:
        family = 6 if case.place.family == socket.AF_INET6 else 4
        if case.courier is not None:
            trials, source = case.courier.trials, case.courier.source
            found = datagramResult(case.path, trials, family)
            dropped = case.courier.dropped
        else:
            flows = case.path.flows
            source = next((one.source for one in flows if one.source), None)
            found, dropped = streamResult(case.path, family), 0
        said = [one for one in found["trials"] if _isWorthSaying(one)]
        reasons = Counter(one["reason"] for one in said)
        return {
            "target": str(case.target),
            "kind": case.target.kind,
            "address": str(case.place),
            "source": sourceText(source),
            "family": family,
            "beganNs": case.began,
            "endedNs": case.ended or time_ns(),
            **found,
            "reasons": reasonsOf(reasons)["reasons"],
            "tooSlow": (
                [f"this host dropped {dropped} replies before they were read"] if dropped else []
            ),
        }


def _isWorthSaying(trial: Mapping[str, Any]) -> bool:
    """
    Tell whether a reason says more than that no reply came, or that this host sends no packets
    of that size.
    """
    isOfHere = trial["outcome"] == UNSENT and trial["mtu"]
    return trial["reason"] and trial["outcome"] != UNANSWERED and not isOfHere


def _places(target: Target, settings: MtuSettings) -> list[Place]:
    """
    Look up a target: one address for each family that this host can reach.

    :raise ProbeError: the target has no such address.
    """
    if target.kind not in ("udp", "tcp"):
        raise ProbeError(f"{target}: mtu measures UDP and TCP only")
    places = {place.family: place for place in reversed(findAll(target, settings.way))}
    found, faults = [], []
    for place in places.values():
        try:
            opened(target, place, settings.way).close()
            found.append(place)
        except ProbeError as error:
            faults.append(error)
    if not found:
        raise faults[-1]
    return found[::-1]
