"""
What happened, as numbers.
"""

from __future__ import annotations

from collections import Counter

from attrs import Factory, define


@define(eq=False)
class Counters:
    """
    The numbers of one transport; streams and datagrams each use their part.

    :param transport: its name, ``TCP`` or ``UDP``.
    :ivar connections: accepted and served.
    :ivar active: connections there are now.
    :ivar receivedBytes: of content.
    :ivar sentBytes: of content; handed to the kernel or waiting for it.
    :ivar receivedDatagrams: those refused are among them.
    :ivar sentDatagrams: handed to the kernel.
    :ivar stalled: connections reset because their peer took nothing.
    :ivar idle: connections ended because their peer sent nothing.
    :ivar drained: connections ended because the service stopped.
    :ivar refused: peers and datagrams turned away, by reason.
    :ivar errors: system calls that failed, by what they were for and the
        symbol of the error.
    """

    transport: str = ""
    connections: int = 0
    active: int = 0
    receivedBytes: int = 0
    sentBytes: int = 0
    receivedDatagrams: int = 0
    sentDatagrams: int = 0
    stalled: int = 0
    idle: int = 0
    drained: int = 0
    refused: Counter[str] = Factory(Counter)
    errors: Counter[tuple[str, str]] = Factory(Counter)
