"""
Two services that answer each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.support.live import figures

#: What an exchange between two echo services may take: seconds, and datagrams.
LOOP_SECONDS = 10.0
LOOP_DATAGRAMS = 20_000


def dies(sent: Callable[[], int], begin: Callable[[], object], quiet: float = 0.5) -> int:
    """
    An exchange ends in time, by itself.

    :param sent: counts what both hosts have sent.
    :param begin: begins it.
    :param quiet: seconds without a datagram that show it has ended.
    :return: how many datagrams there were.
    """
    first = last = sent()
    start = time.monotonic()
    begin()
    changed = time.monotonic()
    while time.monotonic() - changed < quiet:
        now = sent()
        if now != last:
            last, changed = now, time.monotonic()
        assert changed - start <= LOOP_SECONDS, f"still alive after {changed - start:.1f} s"
        assert last - first <= LOOP_DATAGRAMS, f"still alive after {last - first} datagrams"
        time.sleep(0.005)
    figures.append(f"{last - first} datagrams in {changed - start:.2f} s")
    assert last > first, "there was no exchange"
    return last - first
