"""
Serve the metrics and the health of a watch over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure

from echotwist.commandline.description import Description
from echotwist.pages.http import Reply, Request
from echotwist.pages.serving import Page, Pages
from echotwist.probe.places import ProbeError
from echotwist.probe.watch.exposition import pageFor
from echotwist.reactors import IReactor
from echotwist.sockets.errors import inWords


class Metrics:
    """
    Serve ``/metrics``, ``/healthz`` and ``/readyz``.

    :param reactor: listens.
    :param watch: the watch to report on.
    :param endpoint: where to listen, as an endpoint string of Twisted.
    :param told: called with the errors of a page.
    :raise ProbeError: the endpoint cannot be listened on.
    """

    def __init__(
        self, reactor: IReactor, watch: Any, endpoint: str, told: Callable[[str], None]
    ) -> None:
        try:
            from echotwist.probe.watch.metrics import fill
        except ImportError as error:
            hint = "pip install 'echotwist[metrics]'"
            raise ProbeError(f"--metrics {endpoint}: {error}; {hint}") from None
        self._watch, self._fill, self._endpoint = watch, fill, endpoint
        # After each piece the reactor handles other events.
        self._cooperator = Cooperator(terminationPredicateFactory=lambda: lambda: True)
        pages: dict[bytes, Page] = {
            b"/metrics": self._metrics,
            b"/healthz": lambda _: Reply(b"healthy\n"),
            b"/readyz": self._readiness,
        }
        self._factory = Pages(pages, reactor, lambda: told(Failure().getErrorMessage()))
        self._port: Any = None
        self._listen(reactor)

    def _listen(self, reactor: IReactor) -> None:
        heard: list[Any] = []
        try:
            Description.of(self._endpoint)  # Its words are better than Twisted's.
            found = serverFromString(reactor, self._endpoint).listen(self._factory)
            found.addBoth(heard.append)
        except Exception as error:  # Each kind of endpoint has its own errors.
            raise self._fault(error) from None
        # Endpoints that know their address listen at once.
        [self._port] = heard or [None]
        if isinstance(self._port, Failure):
            raise self._fault(self._port.value) from None
        if self._port is not None and not hasattr(self._port, "stopListening"):
            raise self._fault(ValueError("it does not listen"))  # Such as stdio.

    def _fault(self, error: BaseException | None) -> ProbeError:
        cause = error.socketError if isinstance(error, CannotListenError) else error
        if isinstance(cause, LookupError):  # Only "systemd:" looks up something.
            cause = ValueError("no such socket was passed to this process")
        why = inWords(cause) if isinstance(cause, OSError) else str(cause) or type(cause).__name__
        return ProbeError(f"--metrics {self._endpoint}: {why}")

    def stop(self) -> None:
        """
        Stop listening.
        """
        if self._port is not None:
            maybeDeferred(self._port.stopListening)
            self._port = None

    def _metrics(self, request: Request) -> Deferred[Reply]:
        page = pageFor(request.accept)
        done = self._cooperator.coiterate(self._fill(self._watch, page))
        return done.addCallback(lambda _: Reply(page.finish(), page.contentType))

    def _readiness(self, request: Request) -> Reply:
        if self._watch.isReady:
            return Reply(b"ready\n")
        return Reply(b"not ready\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
