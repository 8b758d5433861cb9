"""
The base of all measurements: look up targets, open sockets, and make a report.
"""

from __future__ import annotations

import gc
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from echotwist.commandline.versions import program
from echotwist.probe.common import SecureSettings
from echotwist.probe.content import ContentSettings
from echotwist.probe.datagrams import STAMPED, Datagrams
from echotwist.probe.dialing import opened
from echotwist.probe.events import Event
from echotwist.probe.payload import Payload
from echotwist.probe.places import Place, ProbeError, checkUnix, find, largestOf
from echotwist.probe.plain import PlainStream
from echotwist.probe.plot import Plot
from echotwist.probe.result import VERSION, conclude
from echotwist.probe.schedule import SECOND
from echotwist.probe.target import Target
from echotwist.probe.verdict import Verdict
from echotwist.reactors import IReactor
from echotwist.sockets.addresses import nameText, peerText


class Finishing(Protocol):
    """
    An object that can be ended.
    """

    def finish(self) -> None:
        """
        End, even if probes are still under way.
        """


#: The object that measures one target.
Measured = TypeVar("Measured", bound=Finishing)


class Measurement(Generic[Measured]):
    """
    A measurement of some targets.

    :cvar schema: the name of its report.
    :param reactor: the reactor.
    :param targets: the targets to probe.
    :param writer: writes the results; see :mod:`echotwist.probe.output`.
    :raise ProbeError: it cannot begin; nothing is left open then.
    """

    schema: str

    def __init__(
        self, reactor: IReactor, settings: ContentSettings, targets: Sequence[Target], writer: Any
    ) -> None:
        self._reactor = reactor
        self._common = settings
        self._writer = writer
        self._plot = None if settings.plot is None else Plot(settings.plot)
        self._seed = settings.seed or secrets.token_hex(8)
        self._timeout = round(settings.timeout * SECOND)
        self._places = [find(target, settings.way) for target in targets]
        for target, place in zip(targets, self._places, strict=True):
            check(settings, target, place)
        self._targets = targets
        self._cannotWrite: OSError | None = None
        self._exchanges: list[Measured] = []
        self._transports: list[Any] = []

    def _checkCourtesy(self, what: str) -> None:
        """
        Check that addresses of others get so many probes only with ``--flood``.

        :param what: the traffic that an address would get.
        :raise ProbeError: the option is not given.
        """
        for target, place in zip(self._targets, self._places, strict=True):
            if not place.isNear and not self._common.flood:
                raise ProbeError(
                    f"{target}: {what} to an address that is neither loopback nor private; "
                    "--flood says that its owner knows"
                )

    def _openAll(self) -> None:
        """
        Open the sockets for all targets.

        :raise ProbeError: one cannot be opened; nothing is left open then.
        """
        try:
            for number in range(len(self._targets)):
                self._exchanges.append(self._exchange(number))
        except ProbeError:
            for transport in self._transports:
                transport.close()
            raise

    def _exchange(self, number: int) -> Measured:
        """
        Open the exchange with a target.
        """
        raise NotImplementedError

    def _payload(self) -> Payload:
        settings = self._common
        seed = self._seed.encode("utf-8", "surrogateescape")
        return Payload(seed, settings.bytes, settings.fill())

    def _observer(self, name: str) -> Callable[[Event], None] | None:
        heard = [one.observe for one in (self._writer, self._plot) if one is not None]
        observers = [one for one in heard if one is not None]
        if not observers:
            return None

        def tell(event: Event) -> None:
            if self._cannotWrite is None:
                try:
                    for observe in observers:
                        observe(name, event)
                except OSError as error:
                    self._cannotWrite = error
                    self._reactor.callLater(0, self.stop)

        return tell

    def _transport(self, target: Target, place: Place, wantsStamps: bool) -> Any:
        transport = carrier(self._reactor, target, place, self._common, wantsStamps)
        self._transports.append(transport)
        return transport

    def _try(self, target: Target, place: Place) -> None:
        """
        Check that a connection could be started, so that errors show at once.
        """
        if not target.isDatagram:
            opened(target, place, self._common.way).close()

    def _begin(self) -> None:
        gc.collect()
        gc.freeze()  # The collector need not look again and again at the objects made so far.
        self._writer.begin(self._reactor, self._exchanges, self._names())

    def _names(self) -> Sequence[str]:
        return [str(target) for target in self._targets]

    def stop(self) -> None:
        """
        End, even if probes are still under way.
        """
        self._writer.stop()
        for exchange in self._exchanges:
            exchange.finish()

    def _end(self) -> int:
        report = self.report()
        if self._cannotWrite is not None:
            raise self._cannotWrite
        self._writer.end(report)
        if self._plot is not None:
            self._plot.write(report["results"])
        return int(report["status"])

    def _result(self, number: int) -> dict[str, Any]:
        """
        Return the present result of a target.
        """
        raise NotImplementedError

    def _verdicts(self) -> list[Verdict]:
        """
        Return the conditions under which the measurement has failed.
        """
        raise NotImplementedError

    def report(self) -> dict[str, Any]:
        """
        Return the present report.
        """
        results = list(map(self._result, range(len(self._exchanges))))
        return {
            "schema": self.schema,
            "version": VERSION,
            "program": program(),
            "seed": self._seed,
            "results": results,
            **conclude(results, self._judged(results)),
        }

    def _judged(self, results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        verdicts = self._verdicts()
        return [verdict.judge(result) for verdict in verdicts for result in results]

    def _about(self, number: int) -> Mapping[str, Any]:
        target = self._targets[number]
        return {
            "target": str(target),
            "kind": target.kind,
            "address": str(self._places[number]),
            "size": self._common.bytes,
            "timeoutNs": self._timeout,
        }


def carrier(
    reactor: IReactor,
    target: Target,
    place: Place,
    settings: SecureSettings,
    wantsStamps: bool,
    stamped: int = STAMPED,
) -> Any:
    """
    Open the transport that carries probes to a target.

    :param stamped: for how many datagrams the kernel's stamps are kept.
    :raise ProbeError: it cannot be opened.
    """
    way = settings.way
    if target.isDatagram:
        return Datagrams(reactor, opened(target, place, way), wantsStamps, stamped)
    open = partial(opened, target, place, way)
    if target.kind == "tls":
        return _secure(reactor, target, open, place, settings)
    return PlainStream(reactor, open, place, wantsStamps)


def _secure(
    reactor: IReactor,
    target: Target,
    open: Callable[[], socket.socket],
    place: Place,
    settings: SecureSettings,
) -> Any:
    try:
        from echotwist.probe.secure import SecureStream, creatorFor
    except ImportError:
        hint = "pip install 'echotwist[tls]'"
        raise ProbeError(f"{target}: TLS needs pyOpenSSL: {hint}") from None
    creator = creatorFor(target.host, settings.ca, settings.insecure)
    return SecureStream(reactor, open, place, creator)


def sourceText(source: Any) -> str | None:
    """
    Format the address that probes come from, if there is one.
    """
    if isinstance(source, tuple):
        return peerText(source) if source[1] else str(source[0])
    return nameText(source) if source else None


def check(settings: ContentSettings, target: Target, place: Place) -> None:
    """
    Check that a target can be probed with these settings.

    :raise ProbeError: it cannot.
    """
    if target.isDatagram and settings.bytes > (most := largestOf(target, place)):
        raise ProbeError(
            f"{target}: --size {settings.bytes}: a datagram there has {most} at the most"
        )
    if not target.isDatagram and not settings.bytes:
        raise ProbeError(f"{target}: a stream knows no probes of 0 bytes")
    checkUnix(target, settings.way)
