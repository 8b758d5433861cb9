"""
What can be chosen about a watch, checked once.
"""

from __future__ import annotations

from attrs import field, frozen

from echotwist.commandline.declaration import Kind, checked, said
from echotwist.probe.settings import PingSettings


@frozen(kw_only=True, field_transformer=checked)
class WatchSettings(PingSettings):
    """
    How many echo services are watched: how each of them is probed, where the file does
    not say it; see :class:`~echotwist.probe.settings.PingSettings`.

    :param metrics: a Twisted endpoint to serve Prometheus on, if any.
    """

    metrics: str | None = field(
        default=None,
        metadata=said(
            "metrics",
            Kind(),
            "endpoint for Prometheus: tcp:9465:interface=127.0.0.1",
            takes="endpoint",
        ),
    )
