"""
The settings of a comparison of source ports, checked once.
"""

from __future__ import annotations

from attrs import evolve, field, frozen

from echotwist.commandline.declaration import PORTS, Number, checked, manyOf, said
from echotwist.probe.content import ContentSettings
from echotwist.probe.kinds import Conditions, Rate
from echotwist.probe.paths.result import METRICS
from echotwist.probe.places import Way
from echotwist.probe.schedule import SECOND

#: How many ports there may be, how many probes from each, and how many probes in all.
MANY, PROBES, MOST = range(1, 4097), range(1, 100_001), 2_000_000


@frozen(kw_only=True, field_transformer=checked)
class PathsSettings(ContentSettings):
    """
    The settings of a comparison; see :class:`~echotwist.probe.content.ContentSettings`.

    :param ports: how many source ports to use.
    :param firstPort: the first of consecutive ports; 0 for any free ports.
    :param count: how many probes each port sends.
    :param rate: probes a second, of all ports together.
    :param failIf: conditions under which the measurement has failed.
    :raise ValueError: the values do not fit together, or a file cannot be read.
    """

    ports: int = field(
        default=64,
        metadata=said("ports", Number(MANY), "source ports", short="n"),
    )
    firstPort: int = field(
        default=0,
        metadata=said(
            "first-port", Number(PORTS), "first of ports in a row; 0: any", takes="port number"
        ),
    )
    count: int = field(
        default=50,
        metadata=said("count", Number(PROBES), "probes from each port", short="c"),
    )
    rate: float = field(
        default=200.0,
        metadata=said("rate", Rate(), "probes a second, all ports together", short="r"),
    )
    failIf: tuple[str, ...] = field(
        default=(),
        converter=manyOf,
        metadata=said("fail-if", Conditions(METRICS), "lossy>0, loss>1%; repeatable: status 1"),
    )

    def __attrs_post_init__(self) -> None:
        """
        Check the settings against each other.
        """
        super().__attrs_post_init__()
        if self.firstPort and self.firstPort + self.ports - 1 not in PORTS:
            last = self.firstPort + self.ports - 1
            raise ValueError(f"first-port {self.firstPort}: the last port would be {last}")
        if self.ports * self.count > MOST:
            raise ValueError(
                f"count {self.count} from each of {self.ports} ports: more than {MOST:,} in all"
            )

    @property
    def each(self) -> float:
        """
        Nanoseconds from one port's turn to the next port's turn.
        """
        return SECOND / self.rate

    @property
    def way(self) -> Way:
        """
        How probes leave this host.
        """
        return evolve(super().way, sourcePort=self.firstPort)
