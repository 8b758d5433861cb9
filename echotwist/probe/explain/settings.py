"""
The settings of reading captures, checked once.
"""

from __future__ import annotations

from attrs import field, frozen

from echotwist.commandline.declaration import Flag, checked, manyOf, said
from echotwist.probe.explain.result import METRICS
from echotwist.probe.kinds import Conditions, Seed


@frozen(kw_only=True, field_transformer=checked)
class ExplainSettings:
    """
    The settings of reading captures.

    :param seed: the seed of the probes; datagrams without it are not probes.
    :param failIf: conditions under which the measurement has failed.
    :param json: print the results as one JSON object.
    """

    seed: str | None = field(
        default=None, metadata=said("seed", Seed(), "of the probes; others do not count")
    )
    failIf: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("fail-if", Conditions(METRICS), "lost-there>0; repeatable: status 1"),
    )
    json: bool = field(default=False, metadata=said("json", Flag(), "one JSON object"))
