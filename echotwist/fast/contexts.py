"""
What :mod:`twisted.python.context` knows while an event is handled, made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.python.log import ILogContext


class EventContext:
    """
    What :mod:`twisted.python.context` knows while an event is handled: the log
    context, whose ``system`` is the log prefix of who handles it.

    :param outer: the log context around it.
    :ivar owner: who handles the event at hand (``ILoggingContext``).
    """

    __slots__ = ("_outer", "owner")

    def __init__(self, outer: Mapping[str, Any]) -> None:
        self._outer = outer
        self.owner: Any = None

    def __getitem__(self, key: object) -> dict[str, Any]:
        """
        Work out the log context.

        :raise KeyError: for whatever else is asked for.
        """
        if key is not ILogContext:
            raise KeyError(key)
        try:
            prefix = self.owner.logPrefix()
        except Exception:
            prefix = "(buggy logPrefix method)"
        return {**self._outer, "system": prefix}


class Contexts(list[Any]):
    """
    The contexts of a thread, which Twisted reads from the last to the first.

    A thread pool asks for the last one, to keep it while the reactor goes on: it
    gets what the event's context says now.
    """

    def __getitem__(self, index: Any) -> Any:
        """
        Give one that may be kept.
        """
        found = super().__getitem__(index)
        return {ILogContext: found[ILogContext]} if isinstance(found, EventContext) else found
