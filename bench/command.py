"""
What the commands of the benchmark share.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable


def say(text: str) -> None:
    """
    Tell on standard error what is going on.
    """
    print(text, file=sys.stderr, flush=True)


def some(known: Iterable[str]) -> Callable[[str], list[str]]:
    """
    Read an option that takes some of what is known.
    """

    def names(text: str) -> list[str]:
        for name in text.split(","):
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {name}")
        return text.split(",")

    return names
