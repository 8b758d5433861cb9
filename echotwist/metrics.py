"""
The numbers for Prometheus, and whether the service is healthy and ready.

Needs the extra ``echotwist[metrics]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred

from echotwist.counters import Counters
from echotwist.pages import Page, Reply, Site

_COUNTERS = [
    ("connections", "connections", "Connections served."),
    ("received_bytes", "receivedBytes", "Bytes of content that came in."),
    ("sent_bytes", "sentBytes", "Bytes of content sent back."),
    ("received_datagrams", "receivedDatagrams", "Datagrams that came in, with those refused."),
    ("sent_datagrams", "sentDatagrams", "Datagrams sent back."),
    ("stalled_connections", "stalled", "Connections reset because the peer took nothing."),
    ("idle_connections", "idle", "Connections ended because nothing came."),
    ("drained_connections", "drained", "Connections ended because the service stopped."),
]


class EchoCollector(Collector):
    """
    Read the counters when somebody asks for them.

    :param counters: those of each transport.
    """

    def __init__(self, counters: Sequence[Counters]) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        """
        Give all numbers.
        """
        known = {one.transport.lower().replace(" ", "-"): one for one in self._counters}
        for name, attribute, text in _COUNTERS:
            family = CounterMetricFamily(f"echotwist_{name}", text, labels=["transport"])
            for transport, counters in known.items():
                family.add_metric([transport], getattr(counters, attribute))
            yield family
        active = GaugeMetricFamily(
            "echotwist_active_connections", "Connections open now.", labels=["transport"]
        )
        refused = CounterMetricFamily(
            "echotwist_refused", "Peers and datagrams refused.", labels=["transport", "reason"]
        )
        errors = CounterMetricFamily(
            "echotwist_errors", "System calls that failed.", labels=["transport", "call", "error"]
        )
        for transport, counters in known.items():
            active.add_metric([transport], counters.active)
            for reason, count in counters.refused.items():
                refused.add_metric([transport, reason], count)
            for (call, error), count in counters.errors.items():
                errors.add_metric([transport, call, error], count)
        yield from (active, refused, errors)


def site(
    counters: Sequence[Counters],
    state: Callable[[], str],
    health: Callable[[], str],
    refresh: Callable[[], Deferred[Any]],
    reactor: Any,
) -> Site:
    """
    Make the site: ``/metrics``, ``/healthz`` and ``/readyz``.

    :param counters: those of each transport.
    :param state: tells in a word how it stands; ``ready`` while new peers are
        served.
    :param health: tells in a word how it does; ``healthy`` unless only a new
        start would help.
    :param refresh: brings the counters up to date.
    :param reactor: calls later (``IReactorTime``).
    """
    registry = CollectorRegistry()
    registry.register(EchoCollector(counters))
    ProcessCollector(registry=registry)

    def numbers() -> Deferred[Reply]:
        return refresh().addCallback(
            lambda _: Reply(generate_latest(registry), CONTENT_TYPE_LATEST)
        )

    pages: dict[bytes, Page] = {
        b"/metrics": numbers,
        b"/healthz": lambda: _word(health(), "healthy"),
        b"/readyz": lambda: _word(state(), "ready"),
    }
    return Site(pages, reactor)


def _word(word: str, good: str) -> Reply:
    status = HTTPStatus.OK if word == good else HTTPStatus.SERVICE_UNAVAILABLE
    return Reply(f"{word}\n".encode("ascii"), status=status)
