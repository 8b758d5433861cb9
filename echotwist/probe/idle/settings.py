"""
What can be chosen about a search for the longest silence, checked once.
"""

from __future__ import annotations

from attrs import field, frozen

from echotwist.commandline.declaration import Kind, Number, Seconds, Texts, checked, manyOf, said
from echotwist.probe.common import CommonSettings
from echotwist.probe.idle.result import METRICS
from echotwist.probe.kinds import Conditions, Picture

#: Seconds of a day: the longest silence that can be asked for; and the one that is where
#: nobody says another: a NAT keeps a silent connection for 2 hours and 4 minutes at least
#: (RFC 5382, REQ-5).
DAY, LONGEST = 86400, 7500.0

#: The shortest precision, in seconds: below it the machine itself is too slow.
FINEST = 0.01

#: Seconds between keepalives, as the kernel takes them (``MAX_TCP_KEEPINTVL``).
KEEPALIVES = range(1, 32768)

#: How flows are used before and in their silence, and the kind of target of each.
MODES = {"once": "udp", "stream": "udp", "silent": "tcp", "keepalive": "tcp"}


@frozen
class Modes(Texts):
    """
    Any number of modes.
    """

    takes = "mode"

    def read(self, text: str) -> None:
        """
        See that a text is one.
        """
        if text not in MODES:
            raise ValueError(f"{text}: none of {', '.join(MODES)}")


@frozen(kw_only=True, field_transformer=checked)
class IdleSettings(CommonSettings):
    """
    How silent flows are tried.

    :param first: seconds of the shortest silence.
    :param longest: seconds of the longest one.
    :param precision: seconds between the longest silence that survived and the shortest
        one that did not, at the most.
    :param flows: silences that are tried at once between the two.
    :param timeout: seconds for an answer.
    :param keepalive: seconds between keepalives; nothing for half of the longest silence
        that survived without.
    :param only: try these modes alone.
    :param state: a file that keeps what is known.
    :param failIf: conditions under which the search has failed.
    :param plot: a file to draw into.
    :raise ValueError: for values that do not go together.
    """

    first: float = field(default=1.0, metadata=said("first", Seconds(), "the shortest silence"))
    longest: float = field(
        default=LONGEST, metadata=said("longest", Seconds(), "the longest silence", short="l")
    )
    precision: float = field(
        default=1.0,
        metadata=said("precision", Seconds(), "seconds that may stay open", short="p"),
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
            "keepalive", Number(KEEPALIVES), "between keepalives [default: half]", takes="seconds"
        ),
    )
    only: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("only", Modes(), f"{', '.join(MODES)}; repeatable"),
    )
    state: str | None = field(
        default=None,
        metadata=said("state", Kind(), "keep what is known, go on with it", takes="path"),
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
        Check what the settings mean together.
        """
        super().__attrs_post_init__()
        if not self.timeout:
            raise ValueError("timeout 0: no answer would be in time")
        if self.precision < FINEST:
            raise ValueError(f"precision {self.precision:g}: below {FINEST} seconds")
        if not FINEST <= self.first <= self.longest:
            raise ValueError(f"first {self.first:g}: not from {FINEST} to longest {self.longest:g}")
        if self.longest > DAY:
            raise ValueError(f"longest {self.longest:g}: more than a day ({DAY} seconds)")
        if self.only == ("keepalive",) and self.keepalive is None:
            raise ValueError("only keepalive: say --keepalive as well, the seconds between two")

    def modesOf(self, kind: str) -> list[str]:
        """
        Give the modes to try for a kind of target.
        """
        return [mode for mode, its in MODES.items() if its == kind and mode in (self.only or MODES)]
