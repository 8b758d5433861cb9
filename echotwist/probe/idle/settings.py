"""
The settings of a search for the longest silence, checked once.
"""

from __future__ import annotations

from attrs import field, frozen

from echotwist.commandline.declaration import Kind, Number, Seconds, Texts, checked, manyOf, said
from echotwist.probe.common import CommonSettings
from echotwist.probe.idle.result import METRICS
from echotwist.probe.kinds import Conditions, Picture

#: Seconds of a day, the longest silence allowed; and the default, as a NAT must keep an
#: established connection for at least 2 hours and 4 minutes (RFC 5382, REQ-5).
DAY, LONGEST = 86400, 7500.0

#: The smallest precision, in seconds: the host itself is no more exact.
FINEST = 0.01

#: Seconds between keepalives that the kernel accepts (``MAX_TCP_KEEPINTVL``).
KEEPALIVES = range(1, 32768)

#: The modes, each with the kind of target that it applies to.
MODES = {"once": "udp", "stream": "udp", "silent": "tcp", "keepalive": "tcp"}


@frozen
class Modes(Texts):
    """
    Any number of modes.
    """

    takes = "mode"

    def read(self, text: str) -> None:
        """
        Check that a text is the name of a mode.
        """
        if text not in MODES:
            raise ValueError(f"{text}: none of {', '.join(MODES)}")


@frozen(kw_only=True, field_transformer=checked)
class IdleSettings(CommonSettings):
    """
    The settings of a search.

    :param first: seconds of the shortest silence.
    :param longest: seconds of the longest silence.
    :param precision: seconds by which the longest silence that survived and the shortest that
        did not may differ in the end.
    :param flows: how many silences to try at once between these two.
    :param timeout: seconds to wait for an answer.
    :param keepalive: seconds between keepalives; ``None`` for half of the longest silence that
        survived without keepalives.
    :param only: the modes to try; empty for all.
    :param state: a file that keeps the outcomes.
    :param failIf: conditions under which the search has failed.
    :param plot: an SVG or PNG file to draw into.
    :raise ValueError: the values do not fit together.
    """

    first: float = field(default=1.0, metadata=said("first", Seconds(), "the shortest silence"))
    longest: float = field(
        default=LONGEST, metadata=said("longest", Seconds(), "the longest silence", short="l")
    )
    precision: float = field(
        default=1.0,
        metadata=said("precision", Seconds(), "exactness of the result, in seconds", short="p"),
    )
    flows: int = field(
        default=15,
        metadata=said("flows", Number(range(1, 101)), "silences at once, when dividing", short="n"),
    )
    timeout: float = field(
        default=5.0,
        metadata=said("timeout", Seconds(), "seconds for an answer"),
    )
    keepalive: int | None = field(
        default=None,
        metadata=said(
            "keepalive",
            Number(KEEPALIVES),
            "seconds between [default: half of what survived]",
            takes="seconds",
        ),
    )
    only: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("only", Modes(), f"{', '.join(MODES)}; repeatable"),
    )
    state: str | None = field(
        default=None,
        metadata=said("state", Kind(), "keep outcomes here, and go on from them", takes="path"),
    )
    failIf: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("fail-if", Conditions(METRICS), "survived<300s; repeatable: status 1"),
    )
    plot: str | None = field(
        default=None,
        metadata=said("plot", Picture(), "draw into this .svg or .png file"),
    )

    def __attrs_post_init__(self) -> None:
        """
        Check the settings against each other.
        """
        super().__attrs_post_init__()
        if not self.timeout:
            raise ValueError("timeout 0: no answer would be in time")
        if self.precision < FINEST:
            raise ValueError(f"precision {self.precision:g}: below {FINEST} seconds")
        if not FINEST <= self.first <= self.longest:
            raise ValueError(
                f"first {self.first:g}: not from {FINEST} to --longest {self.longest:g}"
            )
        if self.longest > DAY:
            raise ValueError(f"longest {self.longest:g}: more than a day ({DAY} seconds)")
        if self.only == ("keepalive",) and self.keepalive is None:
            raise ValueError(
                "only keepalive: give --keepalive as well, the seconds between keepalives"
            )

    def modesOf(self, kind: str) -> list[str]:
        """
        Return the modes to try for a kind of target.
        """
        return [mode for mode, its in MODES.items() if its == kind and mode in (self.only or MODES)]
