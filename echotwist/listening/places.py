"""
The addresses that an endpoint listens on.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from echotwist.commandline.description import Description
from echotwist.sockets.addresses import Address, addressesOf, half
from echotwist.sockets.opening import findAll

#: The kind of endpoint that takes only IPv6, where another one takes IPv4.
_SIX = "tcp6"


def namesInterface(said: Description, interface: str) -> bool:
    """
    Tell whether an endpoint itself names an interface.

    :param interface: the interface that Twisted read from it.
    """
    if said.kind in (_SIX, "tls"):  # Twisted fills in a default.
        return "interface" in said.parameters
    return bool(interface)


def addressesFor(
    said: Description,
    port: int,
    interface: str,
    anywhere: Sequence[str] | None,
    others: Iterable[str],
) -> list[Address]:
    """
    Find the addresses that an endpoint listens on.

    ``tcp6`` leaves IPv4 to other endpoints of the same port, and they leave IPv6
    to it.

    :param interface: the interface, if ``anywhere`` is ``None``.
    :param anywhere: the words of ``--interface``; if there are none, every address.
    :param others: all endpoints of the service.
    :raise OSError: there is no such address.
    """
    isSix = said.kind == _SIX
    family = socket.AF_INET6 if isSix else socket.AF_INET
    isHalf = any((one.kind == _SIX) != isSix for one in _withPort(port, others))
    if anywhere is None:
        found = [_addressOf(interface)]
    else:
        found = findAll(anywhere, port, ["TCP"])
        if isSix or isHalf:
            found = [one for one in found if one.dual or one.family == family]
    if not found:
        raise OSError(f"no --interface has an IPv{6 if isSix else 4} address")
    return [half(one, family) for one in found] if isHalf else found


def _addressOf(interface: str) -> Address:
    if interface == "::":
        return Address(socket.AF_INET6, "::", dual=True)
    return min(addressesOf(interface), key=lambda address: address.family != socket.AF_INET)


def _withPort(port: int, texts: Iterable[str]) -> Iterator[Description]:
    """
    Find the endpoints of one port; each port 0 is another port.
    """
    for text in texts if port else ():
        with suppress(ValueError):  # A wrong endpoint is reported when it is opened.
            one = Description.of(text)
            if one.port == port:
                yield one
