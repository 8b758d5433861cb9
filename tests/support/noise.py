"""
Bytes that do not repeat.
"""

from __future__ import annotations

import random


def noise(size: int, seed: int = 862) -> bytes:
    """
    Make the same each time.

    :param size: in bytes.
    :param seed: another has other bytes.
    """
    return random.Random(seed).randbytes(size)
