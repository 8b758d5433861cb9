"""
The settings of a search for the MTU, checked once.
"""

from __future__ import annotations

from attrs import field, frozen

from echotwist.commandline.declaration import Number, Seconds, checked, manyOf, said
from echotwist.probe.common import SendingSettings
from echotwist.probe.kinds import Conditions, Picture
from echotwist.probe.mtu.result import METRICS

#: How many packets of a size must stay unanswered before it counts as lost.
TRIES = range(1, 11)


@frozen(kw_only=True, field_transformer=checked)
class MtuSettings(SendingSettings):
    """
    How the MTU of a path is found; see :class:`~echotwist.probe.common.SendingSettings`.

    :param timeout: seconds to wait for a reply at most.
    :param tries: how many packets of a size must stay unanswered before it counts as lost.
    :param plot: an SVG or PNG file to draw into.
    :param failIf: conditions under which the measurement has failed.
    :raise ValueError: the values do not fit together.
    """

    timeout: float = field(
        default=2.0,
        metadata=said("timeout", Seconds(), "seconds to wait for a reply at most"),
    )
    tries: int = field(
        default=3,
        metadata=said("tries", Number(TRIES), "unanswered tries until a size counts as lost"),
    )
    plot: str | None = field(
        default=None,
        metadata=said("plot", Picture(), "draw into this .svg or .png file"),
    )
    failIf: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("fail-if", Conditions(METRICS), "mtu<1500, holes>0; repeatable: status 1"),
    )

    def __attrs_post_init__(self) -> None:
        """
        Check the settings against each other.
        """
        super().__attrs_post_init__()
        if not self.timeout:
            raise ValueError("timeout 0: every reply would be late")
