"""
The settings of a watch, checked once.
"""

from __future__ import annotations

from attrs import field, frozen

from echotwist.commandline.declaration import Kind, checked, said
from echotwist.probe.settings import PingSettings


@frozen(kw_only=True, field_transformer=checked)
class WatchSettings(PingSettings):
    """
    The settings of a watch: how to probe each target, where the file does not say; see
    :class:`~echotwist.probe.settings.PingSettings`.

    :param metrics: the endpoint string of the metrics; ``None`` for no metrics.
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
