"""
``echoprobe paths``: probe targets from many source ports, and report which ports lose more
or take longer than the others.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from echotwist.probe.alarm import alarm
from echotwist.probe.dialing import makeRoom
from echotwist.probe.distribution import Distribution, Memory
from echotwist.probe.drawing import Drawing
from echotwist.probe.events import Event
from echotwist.probe.kinds import COURTEOUS
from echotwist.probe.measurement import Measurement, carrier, sourceText
from echotwist.probe.paths.bundle import Bundle, PortSession
from echotwist.probe.paths.plot import draw
from echotwist.probe.paths.result import METRICS, resultOf
from echotwist.probe.paths.settings import PathsSettings
from echotwist.probe.paths.turns import Origin, Turns, shuffled
from echotwist.probe.places import ProbeError
from echotwist.probe.schedule import SECOND
from echotwist.probe.target import Target
from echotwist.probe.verdict import Verdict, verdictOf
from echotwist.reactors import IReactor

#: Descriptors that each port needs, and those of the process.
_EACH, _BESIDES = 3, 64

#: No address of its own.
_ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}

#: What to remember of each port, and for how many of its probes to keep kernel timestamps.
_MEMORY, _STAMPED = Memory(probes=64, exact=4096, recent=16), 1024


class Paths(Measurement[Bundle]):
    """
    A comparison of source ports for some targets, one after the other; see
    :class:`echotwist.probe.measurement.Measurement`.
    """

    schema = "echoprobe-paths"

    def __init__(
        self, reactor: IReactor, settings: PathsSettings, targets: Sequence[Target], writer: Any
    ) -> None:
        self._drawing = None if settings.plot is None else Drawing(settings.plot)
        super().__init__(reactor, evolve(settings, plot=None), targets, writer)
        self._settings = settings
        for target in targets:
            if target.kind not in ("udp", "tcp", "tls"):
                raise ProbeError(f"{target}: paths measures UDP, TCP and TLS only")
        if settings.rate > COURTEOUS:
            self._checkCourtesy(f"more than {COURTEOUS:,} probes a second")
        makeRoom(_EACH * settings.ports * len(targets) + _BESIDES)
        self._openAll()

    def _exchange(self, number: int) -> Bundle:
        settings, target = self._settings, self._targets[number]
        self._try(target, self._places[number])
        places = shuffled(settings.ports, settings.count, f"{self._seed}/{number}")
        origin, lateness = Origin(), Distribution()

        def sessionOf(port: int, heard: Callable[[Event], None]) -> PortSession:
            turns = Turns(settings.each, settings.ports, places[port], origin)
            session = self._session(number, port, turns, heard)
            session.lateness = lateness  # All ports share it.
            return session

        return Bundle(sessionOf, settings.ports, settings.count)

    def _session(
        self, number: int, port: int, turns: Turns, heard: Callable[[Event], None]
    ) -> PortSession:
        settings, target, place = self._settings, self._targets[number], self._places[number]
        if settings.firstPort:
            settings = evolve(settings, firstPort=settings.firstPort + port, ports=1)
        elif port % 2 and not target.isDatagram and not settings.source:
            # Linux gives even ports to streams that connect, and odd ones to those that bind.
            settings = evolve(settings, source=_ANY[socket.AddressFamily(place.family)])
        transport = carrier(self._reactor, target, place, settings, True, _STAMPED)
        self._transports.append(transport)
        return PortSession(
            transport,
            turns,
            self._payload(),
            self._timeout,
            min(settings.count, int((self._timeout + SECOND) / turns.interval)),
            partial(alarm, self._reactor),
            heard,
            memory=_MEMORY,
        )

    def run(self) -> Any:
        """
        Measure.

        :return: a ``Deferred`` that fires with the exit status.
        """
        gc.collect()
        gc.freeze()  # Garbage collection then skips what exists by now.
        done: Deferred[Any] = succeed(None)
        for bundle in self._exchanges:
            done.addCallback(self._runOne, bundle)
        return done.addCallback(lambda _: self._end())

    def _runOne(self, _: object, bundle: Bundle) -> Deferred[Any]:
        if not bundle.finished.called:
            bundle.start()
        return bundle.finished

    def _end(self) -> int:
        status = super()._end()
        if self._drawing is not None:
            results = self.report()["results"]
            self._drawing.save(results, draw)
        return status

    def _result(self, number: int) -> dict[str, Any]:
        return resultOf(self._exchanges[number], self._about(number))

    def _verdicts(self) -> list[Verdict]:
        return [verdictOf(text, METRICS) for text in self._settings.failIf]

    def _about(self, number: int) -> Mapping[str, Any]:
        sources = [one.transport.source for one in self._exchanges[number].sessions]
        source = next((one for one in sources if one), None)
        return {
            **super()._about(number),
            "source": source and sourceText((source[0], 0, *source[2:])),
            "intervalNs": round(self._settings.each),
        }
