"""
The pages with metrics for Prometheus, and with the health of the service.

Needs the extra ``echotwist[metrics]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred

from echotwist.impair.grammar import UNIMPAIRED, Impairments
from echotwist.monitoring.pages import Site
from echotwist.pages.http import Reply, Request
from echotwist.pages.serving import Page
from echotwist.reactors import IReactor
from echotwist.telemetry.counters import DATAGRAMS, Counters, carriedBy
from echotwist.telemetry.refusals import remediesOf

_STREAM = [
    ("connections", "connections", "Connections served."),
    ("stalled_connections", "stalled", "Connections reset because the peer took nothing."),
    ("idle_connections", "idle", "Connections ended because nothing came."),
    ("drained_connections", "drained", "Connections ended because the service stopped."),
]
_DATAGRAM = [
    ("received_datagrams", "receivedDatagrams", "Datagrams that came in, with those refused."),
    ("sent_datagrams", "sentDatagrams", "Datagrams sent back."),
]
_BOTH = [
    ("received_bytes", "receivedBytes", "Bytes of content that came in."),
    ("sent_bytes", "sentBytes", "Bytes of content sent back."),
]

#: Likely errors, each with the call that fails; others are added when they happen.
_NO_FILES = [("accept", "EMFILE"), ("accept", "ENFILE")]
_NO_WAY = [
    ("send", name)
    for name in ("EAGAIN", "EHOSTUNREACH", "EMSGSIZE", "ENETUNREACH", "ENOBUFS", "EPERM")
]
_ERRORS = {
    "UDP": _NO_WAY,
    "UNIX datagram": [("send", name) for name in ("EAGAIN", "ECONNREFUSED", "ENOENT")],
    "raw": _NO_WAY,
}

#: The metrics of impairments, by the unit that is counted.
_IMPAIRED = {
    "datagrams": "Replies lost, delayed or damaged on purpose.",
    "bits": "Bits flipped on purpose.",
    "bytes": "Bytes of streams held back on purpose.",
    "pieces": "Pieces that streams were cut into on purpose.",
    "connections": "Connections that ended wrongly on purpose.",
}


class EchoCollector(Collector):
    """
    Read the counters for each request.

    Each series that can ever have a value has one from the start: ``rate()`` of
    Prometheus ignores the first value of a series.

    :param counters: the counters of each transport.
    :param impairments: the impairments that the service applies.
    """

    def __init__(self, counters: Sequence[Counters], impairments: Impairments = UNIMPAIRED) -> None:
        self._counters = counters
        self._impairments = impairments

    def collect(self) -> Iterator[Metric]:
        """
        Return all metrics.
        """
        for one in self._counters:
            one.settle()
        datagrams = [one for one in self._counters if one.transport in DATAGRAMS]
        streams = [one for one in self._counters if one.transport not in DATAGRAMS]
        families = [
            *_families(_STREAM, streams),
            *_families(_DATAGRAM, datagrams),
            *_families(_BOTH, self._counters),
            self._active(streams),
            self._refused(),
            self._errors(),
            *self._impaired(),
        ]
        yield from (family for family in families if family.samples)

    def _active(self, streams: Sequence[Counters]) -> Metric:
        family = GaugeMetricFamily(
            "echotwist_active_connections", "Connections open now.", labels=["transport"]
        )
        for one in streams:
            family.add_metric([_label(one)], one.active)
        return family

    def _refused(self) -> Metric:
        family = CounterMetricFamily(
            "echotwist_refused", "Peers and datagrams refused.", labels=["transport", "reason"]
        )
        for one in self._counters:
            for reason in {**remediesOf(one.transport), **one.refused}:
                family.add_metric([_label(one), reason], one.refused[reason])
        return family

    def _errors(self) -> Metric:
        family = CounterMetricFamily(
            "echotwist_errors", "System calls that failed.", labels=["transport", "call", "error"]
        )
        for one in self._counters:
            for kind in dict.fromkeys([*_ERRORS.get(one.transport, _NO_FILES), *one.errors]):
                family.add_metric([_label(one), *kind], one.errors[kind])
        return family

    def _impaired(self) -> Iterator[Metric]:
        for unit, text in _IMPAIRED.items():
            family = CounterMetricFamily(
                f"echotwist_impaired_{unit}", text, labels=["transport", "effect"]
            )
            for one in self._counters:
                for kind in self._impairments.effects(carriedBy(one.transport)):
                    if kind[0] == unit:
                        family.add_metric([_label(one), kind[1]], one.impaired[kind])
            yield family


def _families(
    table: Sequence[tuple[str, str, str]], counters: Sequence[Counters]
) -> Iterator[Metric]:
    for name, attribute, text in table:
        family = CounterMetricFamily(f"echotwist_{name}", text, labels=["transport"])
        for one in counters:
            family.add_metric([_label(one)], getattr(one, attribute))
        yield family


def _label(counters: Counters) -> str:
    return counters.transport.lower().replace(" ", "-")


def site(
    counters: Sequence[Counters],
    impairments: Impairments,
    state: Callable[[], str],
    health: Callable[[], str],
    refresh: Callable[[], Deferred[None]],
    reactor: IReactor,
) -> Site:
    """
    Make the site: ``/metrics``, ``/healthz`` and ``/readyz``.

    :param counters: the counters of each transport.
    :param impairments: the impairments that the service applies.
    :param state: returns the state in a word; ``ready`` while new peers are
        served.
    :param health: returns the health; it begins with ``healthy`` unless only a
        restart would help.
    :param refresh: updates the counters.
    :param reactor: the clock of timeouts (``IReactorTime``).
    """
    registry = CollectorRegistry()
    registry.register(EchoCollector(counters, impairments))
    ProcessCollector(registry=registry)

    def numbers(_: Request) -> Deferred[Reply]:
        return refresh().addCallback(
            lambda _: Reply(generate_latest(registry), CONTENT_TYPE_LATEST)
        )

    pages: dict[bytes, Page] = {
        b"/metrics": numbers,
        b"/healthz": lambda _: _word(health(), "healthy"),
        b"/readyz": lambda _: _word(state(), "ready"),
    }
    return Site(pages, reactor)


def _word(word: str, good: str) -> Reply:
    status = HTTPStatus.OK if word.startswith(good) else HTTPStatus.SERVICE_UNAVAILABLE
    return Reply(f"{word}\n".encode("ascii", "backslashreplace"), status=status)
