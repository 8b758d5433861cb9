"""
The settings of a measurement, checked once.
"""

from __future__ import annotations

from typing import ClassVar

from attrs import evolve, field, frozen

from echotwist.commandline.declaration import (
    PORTS,
    Flag,
    Number,
    Seconds,
    checked,
    manyOf,
    said,
)
from echotwist.probe.common import SecureSettings
from echotwist.probe.content import ContentSettings
from echotwist.probe.kinds import (
    COUNTS,
    MOST_A_SECOND,
    UNDER_WAY,
    Conditions,
    Rate,
)
from echotwist.probe.places import Way
from echotwist.probe.schedule import SECOND
from echotwist.probe.verdict import METRICS


@frozen(kw_only=True, field_transformer=checked)
class PingSettings(ContentSettings):
    """
    The settings of ``ping``; see :class:`~echotwist.probe.content.ContentSettings`.

    :param rate: probes a second to each target.
    :param interval: seconds from one probe to the next, in place of a rate.
    :param count: how many probes to send; ``None`` to send until ^C.
    :param duration: seconds in which probes are sent.
    :param sourcePort: see :class:`echotwist.probe.places.Way`.
    :param failIf: conditions under which the measurement has failed.
    :param jsonLines: print a JSON object for each probe.
    :param csv: print a line of comma-separated values for each probe.
    :raise ValueError: the values do not fit together, or a file cannot be read.
    """

    rate: float | None = field(
        default=None,
        metadata=said("rate", Rate(), "probes a second [default: 1]", short="r"),
    )
    interval: float | None = field(
        default=None,
        metadata=said("interval", Seconds(), "seconds between probes", short="i"),
    )
    count: int | None = field(
        default=None,
        metadata=said("count", Number(COUNTS), "probes [default: until ^C]", short="c"),
    )
    duration: float | None = field(
        default=None,
        metadata=said("duration", Seconds(), "seconds in which to send", short="d"),
    )
    sourcePort: int = field(
        default=0,
        metadata=said(
            "source-port", Number(PORTS), "port to send from; 0: any", takes="port number"
        ),
    )
    failIf: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("fail-if", Conditions(METRICS), "loss>0.1%, p99>5ms; repeatable: status 1"),
    )
    jsonLines: bool = field(
        default=False, metadata=said("jsonl", Flag(), "print a JSON object for each probe")
    )
    csv: bool = field(
        default=False, metadata=said("csv", Flag(), "print a line of values for each probe")
    )
    exclusive: ClassVar[tuple[tuple[str, str], ...]] = (
        ("rate", "interval"),
        *SecureSettings.exclusive,
        ("json", "jsonl"),
        ("json", "csv"),
        ("jsonl", "csv"),
    )

    def __attrs_post_init__(self) -> None:
        """
        Check the settings against each other.
        """
        super().__attrs_post_init__()
        if self.interval is not None and self.interval * MOST_A_SECOND < 1:
            raise ValueError(f"interval {self.interval:f}: below {1 / MOST_A_SECOND:f} seconds")
        if self.duration == 0:
            raise ValueError("duration 0: no probe would be sent")
        if self.timeout * SECOND / self.period > UNDER_WAY:
            raise ValueError(f"timeout {self.timeout:g}: over {UNDER_WAY:,} probes under way")

    @property
    def period(self) -> float:
        """
        Nanoseconds from one probe to the next.
        """
        if self.rate is not None:
            return SECOND / self.rate
        return SECOND * (1.0 if self.interval is None else self.interval)

    @property
    def way(self) -> Way:
        """
        How probes leave this host.
        """
        return evolve(super().way, sourcePort=self.sourcePort)
