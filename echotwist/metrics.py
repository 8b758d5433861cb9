"""
The numbers for Prometheus, and whether the service is healthy and ready.

Needs the extra ``echotwist[metrics]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.web.http import SERVICE_UNAVAILABLE
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from echotwist.counters import Counters

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


class Page(Resource):
    """
    A page made anew for each request.

    :param contentType: of the page.
    :param render: makes it.
    :param prepare: comes before that.
    """

    isLeaf = True

    def __init__(
        self,
        contentType: str,
        render: Callable[[Request], bytes],
        prepare: Callable[[], Deferred[Any]] = lambda: succeed(None),
    ) -> None:
        super().__init__()
        self._contentType = contentType.encode("ascii")
        self._render = render
        self._prepare = prepare

    def render_GET(self, request: Request) -> int:
        """
        Make the page; HEAD is served with it.
        """
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)

        def failed(reason: Failure) -> None:
            if not gone:
                request.processingFailed(reason)

        def ready(_: object) -> None:
            if not gone:
                self._finish(request)

        self._prepare().addCallback(ready).addErrback(failed)
        return NOT_DONE_YET

    def _finish(self, request: Request) -> None:
        request.setHeader(b"content-type", self._contentType)
        page = self._render(request)
        request.setHeader(b"content-length", b"%d" % len(page))
        request.write(page)
        request.finish()


class QuietSite(Site):
    """
    A site that does not log each request: Prometheus comes by every few seconds.
    """

    noisy = False

    def startFactory(self) -> None:
        """
        Begin; nothing is needed for a log, of which a clock that wakes us every second.
        """

    def log(self, request: Any) -> None:
        """
        Say nothing.
        """


def site(
    counters: Sequence[Counters],
    state: Callable[[], str],
    refresh: Callable[[], Deferred[Any]],
) -> Site:
    """
    Make the site: ``/metrics``, ``/healthz`` and ``/readyz``.

    :param counters: those of each transport.
    :param state: tells in a word how it stands; ``ready`` while new peers are
        served.
    :param refresh: brings the counters up to date.
    """
    registry = CollectorRegistry()
    registry.register(EchoCollector(counters))
    ProcessCollector(registry=registry)

    def ready(request: Request) -> bytes:
        if state() != "ready":
            request.setResponseCode(SERVICE_UNAVAILABLE)
        return f"{state()}\n".encode("ascii")

    root = Resource()
    numbers = Page(CONTENT_TYPE_LATEST, lambda _: generate_latest(registry), refresh)
    root.putChild(b"metrics", numbers)
    root.putChild(b"healthz", Page("text/plain", lambda _: b"healthy\n"))
    root.putChild(b"readyz", Page("text/plain", ready))
    return QuietSite(root)
