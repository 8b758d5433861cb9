"""
The settings that all commands of the probe share, checked once.
"""

from __future__ import annotations

import socket
from typing import ClassVar

from attrs import field, frozen

from echotwist.commandline.declaration import Flag, Kind, Number, checked, said
from echotwist.probe.kinds import COURTEOUS, DSCP
from echotwist.probe.places import Way


@frozen(kw_only=True, field_transformer=checked)
class CommonSettings:
    """
    The settings that say how to reach an echo service.

    :param source: see :class:`echotwist.probe.places.Way`; so are those below.
    :param json: print the results as one JSON object.
    :param reactor: the name of Twisted's reactor to use.
    :raise ValueError: for values that do not go together.
    """

    source: str = field(
        default="",
        metadata=said("source", Kind(), "address to send from", takes="address"),
    )
    interface: str = field(
        default="",
        metadata=said(
            "interface", Kind(), "network interface to send by", takes="network interface"
        ),
    )
    dscp: int | None = field(
        default=None,
        metadata=said("dscp", Number(range(64), DSCP), "code point: 46 or ef", takes="code point"),
    )
    hopLimit: int | None = field(
        default=None,
        metadata=said("hop-limit", Number(range(1, 256)), "routers to pass at most"),
    )
    ipv4: bool = field(default=False, metadata=said("ipv4", Flag(), "use IPv4", short="4"))
    ipv6: bool = field(default=False, metadata=said("ipv6", Flag(), "use IPv6", short="6"))
    json: bool = field(default=False, metadata=said("json", Flag(), "print one JSON object"))
    reactor: str | None = field(
        default=None,
        metadata=said("reactor", Kind(), "Twisted's reactor to use", takes="name"),
    )

    #: Options of which one can be said.
    exclusive: ClassVar[tuple[tuple[str, str], ...]] = (("ipv4", "ipv6"),)

    def __attrs_post_init__(self) -> None:
        """
        Check the settings against each other.
        """
        for one, other in self.exclusive:
            if self._isSaid(one) and self._isSaid(other):
                raise ValueError(f"--{one} and --{other} do not go together")

    def _isSaid(self, name: str) -> bool:
        value = getattr(self, {"jsonl": "jsonLines"}.get(name, name))
        return value is not None and value is not False

    @property
    def way(self) -> Way:
        """
        How probes leave this host.
        """
        families = {(True, False): socket.AF_INET, (False, True): socket.AF_INET6}
        return Way(
            family=families.get((self.ipv4, self.ipv6), socket.AF_UNSPEC),
            source=self.source,
            interface=self.interface,
            dscp=self.dscp,
            hopLimit=self.hopLimit,
        )


@frozen(kw_only=True, field_transformer=checked)
class SendingSettings(CommonSettings):
    """
    The settings of commands that may send many packets.

    :param flood: send more than 1,000 probes a second to strangers.
    """

    flood: bool = field(
        default=False,
        metadata=said("flood", Flag(), f"allow over {COURTEOUS:,} a second to strangers"),
    )


@frozen(kw_only=True, field_transformer=checked)
class SecureSettings(SendingSettings):
    """
    The settings of commands that probe TLS, too.

    :param ca: a file of the certificate authorities to trust.
    :param insecure: accept any certificate of a service.
    """

    ca: str | None = field(
        default=None,
        metadata=said("ca", Kind(), "TLS: certificates to trust", takes="path"),
    )
    insecure: bool = field(
        default=False,
        metadata=said("insecure", Flag(), "TLS: take any certificate"),
    )
    exclusive: ClassVar[tuple[tuple[str, str], ...]] = (
        *SendingSettings.exclusive,
        ("ca", "insecure"),
    )
