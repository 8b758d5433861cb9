"""
The settings of a load, checked once.
"""

from __future__ import annotations

from attrs import field, frozen

from echotwist.commandline.declaration import Number, Seconds, checked, manyOf, said
from echotwist.probe.content import ContentSettings
from echotwist.probe.kinds import COUNTS, Conditions
from echotwist.probe.load.result import METRICS
from echotwist.probe.schedule import SECOND

#: Connections, and messages under way on each.
CONNECTIONS, IN_FLIGHT = range(1, 20_001), range(1, 10_001)

#: Seconds of a load by default, with neither count nor duration.
DURATION = 10


@frozen(kw_only=True, field_transformer=checked)
class LoadSettings(ContentSettings):
    """
    The settings of a load; see :class:`~echotwist.probe.content.ContentSettings`.

    :param connections: how many connections there are; for datagrams, sockets.
    :param inFlight: messages that are under way on each.
    :param count: how many messages to send.
    :param duration: seconds in which messages are sent.
    :param warmup: seconds of them after which throughput and times begin to count.
    :param failIf: conditions under which the measurement has failed.
    :raise ValueError: for values that do not go together, or a file that cannot be read.
    """

    connections: int = field(
        default=10,
        metadata=said(
            "connections", Number(CONNECTIONS), "connections, or sockets for datagrams", short="n"
        ),
    )
    inFlight: int = field(
        default=1,
        metadata=said("in-flight", Number(IN_FLIGHT), "messages under way on each", short="f"),
    )
    count: int | None = field(
        default=None,
        metadata=said("count", Number(COUNTS), "messages [default: any number]", short="c"),
    )
    duration: float | None = field(
        default=None,
        metadata=said("duration", Seconds(), f"seconds to send [default: {DURATION}]", short="d"),
    )
    warmup: float = field(
        default=0.0,
        metadata=said("warmup", Seconds(), "seconds of them that do not count"),
    )
    failIf: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("fail-if", Conditions(METRICS), "rate<1000, p99>5ms; repeatable: status 1"),
    )

    def __attrs_post_init__(self) -> None:
        """
        Check the settings against each other.
        """
        super().__attrs_post_init__()
        if self.duration == 0:
            raise ValueError("duration 0: no probe would be sent")
        if self.nanoseconds is not None and self.warmup * SECOND >= self.nanoseconds:
            raise ValueError(f"warmup {self.warmup:g}: nothing would be left of the duration")

    @property
    def nanoseconds(self) -> int | None:
        """
        For how many nanoseconds messages are sent, if there is a limit.
        """
        if self.duration is None and self.count is not None:
            return None
        return round((DURATION if self.duration is None else self.duration) * SECOND)
