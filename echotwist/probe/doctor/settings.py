"""
The settings of an examination, checked once.
"""

from __future__ import annotations

from attrs import field, frozen

from echotwist.commandline.declaration import Seconds, Texts, checked, manyOf, said
from echotwist.probe.common import SecureSettings
from echotwist.probe.doctor.datagrams import DATAGRAM_CHECKS
from echotwist.probe.doctor.findings import Limits
from echotwist.probe.doctor.streams import STREAM_CHECKS

#: The names of all checks.
NAMES = tuple(dict.fromkeys(one.name for one in [*STREAM_CHECKS, *DATAGRAM_CHECKS]))


@frozen
class Checks(Texts):
    """
    Any number of names of checks.
    """

    takes = "check"

    def parse(self, name: str, text: str) -> str:
        """
        Check that a text is the name of a check.
        """
        if text not in NAMES:
            raise ValueError(f"{name} {text}: none of {', '.join(NAMES)}")
        return text

    def check(self, name: str, value: object) -> None:
        """
        Check that each text is the name of a check.
        """
        super().check(name, value)
        for one in value:  # type: ignore[attr-defined]
            self.parse(name, one)


@frozen(kw_only=True, field_transformer=checked)
class DoctorSettings(SecureSettings):
    """
    The settings of an examination.

    :param limit: seconds for each check.
    :param duration: seconds for all checks.
    :param only: run these checks only, after the first.
    :param skip: do not run these checks.
    """

    limit: float = field(
        default=Limits().check,
        metadata=said("limit", Seconds(), "seconds for each check"),
    )
    duration: float = field(
        default=Limits().whole,
        metadata=said("duration", Seconds(), "seconds for all checks", short="d"),
    )
    only: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("only", Checks(), "make this check; repeatable"),
    )
    skip: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("skip", Checks(), "leave this check out; repeatable"),
    )

    @property
    def limits(self) -> Limits:
        """
        The limits of checks.
        """
        return Limits(check=self.limit, whole=self.duration)
