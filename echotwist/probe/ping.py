"""
``echoprobe ping``: sends probes to targets, and tells what became of them.
"""

from __future__ import annotations

import gc
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from twisted.internet.defer import gatherResults

from echotwist.probe.alarm import alarm
from echotwist.probe.datagrams import Datagrams
from echotwist.probe.dialing import opened
from echotwist.probe.events import Event
from echotwist.probe.kinds import COURTEOUS
from echotwist.probe.payload import Payload
from echotwist.probe.places import Place, ProbeError, Way, find, largestOf
from echotwist.probe.plain import PlainStream
from echotwist.probe.result import VERSION, judge, resultOf
from echotwist.probe.schedule import SECOND, Schedule
from echotwist.probe.session import Session
from echotwist.probe.settings import PingSettings
from echotwist.probe.target import Target
from echotwist.probe.verdict import verdictOf
from echotwist.sockets.addresses import nameText, peerText


class Ping:
    """
    A measurement of some targets at the same time.

    :param reactor: waits.
    :param targets: what to probe.
    :param writer: is told; see :mod:`echotwist.probe.output`.
    :raise ProbeError: it cannot begin; nothing is left open then.
    """

    def __init__(
        self, reactor: Any, settings: PingSettings, targets: Sequence[Target], writer: Any
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._writer = writer
        self._seed = settings.seed or secrets.token_hex(8)
        self._places = [find(target, settings.way) for target in targets]
        for target, place in zip(targets, self._places, strict=True):
            _check(settings, target, place)
        self._targets = targets
        self._hasReader = True
        self._sessions: list[Session] = []
        try:
            for phase in range(len(targets)):
                self._sessions.append(self._session(phase))
        except ProbeError:
            for session in self._sessions:
                session.transport.close()
            raise

    def _session(self, number: int) -> Session:
        settings, target = self._settings, self._targets[number]
        period, timeout = settings.period, round(settings.timeout * SECOND)
        return Session(
            self._transport(target, self._places[number]),
            Schedule(
                period,
                settings.count,
                None if settings.duration is None else settings.duration * SECOND,
                # Targets take turns.
                period * number / len(self._targets),
            ),
            Payload(self._seed.encode("utf-8", "surrogateescape"), settings.bytes, settings.fill()),
            timeout,
            int((timeout + SECOND) / period),
            partial(alarm, self._reactor),
            self._observer(target),
        )

    def _observer(self, target: Target) -> Callable[..., None] | None:
        observe, name = self._writer.observe, str(target)
        if observe is None:
            return None

        def tell(event: Event) -> None:
            if self._hasReader:
                try:
                    observe(name, event)
                except BrokenPipeError:
                    self._hasReader = False
                    self._reactor.callLater(0, self.stop)

        return tell

    def _transport(self, target: Target, place: Place) -> Any:
        settings = self._settings
        if target.isDatagram:
            return Datagrams(self._reactor, opened(target, place, settings.way))
        open = partial(opened, target, place, settings.way)
        open().close()  # What keeps one from being opened shows now.
        if target.kind == "tls":
            return self._secure(target, open, place)
        return PlainStream(self._reactor, open, place)

    def _secure(self, target: Target, open: Callable[[], socket.socket], place: Place) -> Any:
        try:
            from echotwist.probe.secure import SecureStream, creatorFor
        except ImportError:
            hint = "pip install 'echotwist[tls]'"
            raise ProbeError(f"{target}: TLS needs pyOpenSSL: {hint}") from None
        creator = creatorFor(target.host, self._settings.ca, self._settings.insecure)
        return SecureStream(self._reactor, open, place, creator)

    def run(self) -> Any:
        """
        Measure.

        :return: a ``Deferred`` that fires with the exit status.
        """
        gc.collect()
        gc.freeze()  # What is there already need not be looked at again and again.
        names = [str(target) for target in self._targets]
        self._writer.begin(self._reactor, self._sessions, names)
        for session in self._sessions:
            session.start()
        done = gatherResults([session.finished for session in self._sessions])
        return done.addCallback(lambda _: self._end())

    def stop(self) -> None:
        """
        End, whatever is still under way.
        """
        for session in self._sessions:
            session.finish()

    def _end(self) -> int:
        report = self.report()
        if not self._hasReader:
            raise BrokenPipeError
        self._writer.end(report)
        return int(report["status"])

    def report(self) -> dict[str, Any]:
        """
        Give what is known by now.
        """
        results = [
            resultOf(session, self._about(number)) for number, session in enumerate(self._sessions)
        ]
        return {
            "schema": "echoprobe-ping",
            "version": VERSION,
            "program": f"echotwist {version('echotwist')}",
            "seed": self._seed,
            "results": results,
            **judge(results, map(verdictOf, self._settings.failIf)),
        }

    def _about(self, number: int) -> Mapping[str, Any]:
        target, settings = self._targets[number], self._settings
        return {
            "target": str(target),
            "kind": target.kind,
            "address": str(self._places[number]),
            "source": _sourceText(self._sessions[number].transport.source),
            "size": settings.bytes,
            "intervalNs": round(settings.period),
            "timeoutNs": round(settings.timeout * SECOND),
        }


def _sourceText(source: Any) -> str | None:
    if isinstance(source, tuple):
        return peerText(source) if source[1] else str(source[0])
    return nameText(source) if source else None


def _check(settings: PingSettings, target: Target, place: Place) -> None:
    """
    See that a target may be probed like this.

    :raise ProbeError: it may not.
    """
    if target.isDatagram and settings.bytes > (most := largestOf(target, place)):
        raise ProbeError(
            f"{target}: size {settings.bytes}: a datagram there has {most} at the most"
        )
    if not target.isDatagram and not settings.bytes:
        raise ProbeError(f"{target}: a stream knows no probes of 0 bytes")
    if SECOND / settings.period > COURTEOUS and not place.isNear and not settings.flood:
        raise ProbeError(
            f"{target}: more than {COURTEOUS:,} probes a second to an address that is neither "
            "loopback nor private; --flood says that its owner knows"
        )
    checkUnix(target, settings.way)


def checkUnix(target: Target, way: Way) -> None:
    """
    See that nothing is asked of a UNIX socket that it does not have.

    :raise ProbeError: it is.
    """
    if target.path and way != Way(family=way.family):
        raise ProbeError(f"{target}: a UNIX socket has no addresses, interfaces and routers")
