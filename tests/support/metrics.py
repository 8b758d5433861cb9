"""
The service's metrics and health, read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.support.live import Server, freePort, ours


class Watched:
    """
    A service with metrics.

    :param start: starts it.
    """

    def __init__(self, cwd: Path, *options: str, start: Callable[..., Server] = ours) -> None:
        self.port = freePort()
        endpoint = f"tcp:{self.port}:interface=127.0.0.1"
        self.server = start(cwd, f"--metrics={endpoint}", *options)

    def page(self, path: str) -> tuple[int, str]:
        """
        Get a page.
        """
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as reply:
                return reply.status, reply.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def samples(self) -> dict[tuple[str, ...], float]:
        """
        Scrape, with Prometheus' own parser; the labels are in the order of the alphabet.
        """
        found = {}
        for family in text_string_to_metric_families(self.page("/metrics")[1]):
            assert family.documentation
            for sample in family.samples:
                found[(sample.name, *sorted(sample.labels.values()))] = sample.value
        return found
