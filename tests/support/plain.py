"""
Tests of what is compiled, run without it.
"""

from __future__ import annotations

import sys
from typing import Any

if sys.platform == "linux":
    from echotwist.fast import compiled, messages


class InPython:
    """
    Have Python do, in the tests of another class, what would be done in C.
    """

    def setUp(self: Any) -> None:
        """
        Begin without it.
        """
        if sys.platform == "linux":
            self.patch(compiled, "speedups", None)
            self.patch(messages, "echo", messages.plainEcho)
            self.patch(messages, "taken", messages.plainTaken)
        super().setUp()  # type: ignore[misc]
