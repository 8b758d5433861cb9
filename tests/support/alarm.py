"""
What rings for a probe whose clock the tests turn.
"""

from __future__ import annotations


class Alarm:
    """
    Remembers when it should ring.
    """

    def __init__(self) -> None:
        self.at: int | None = None

    def set(self, at: int | None) -> None:
        """
        Ring then.
        """
        self.at = at

    def stop(self) -> None:
        """
        Ring no more.
        """
        self.at = None
