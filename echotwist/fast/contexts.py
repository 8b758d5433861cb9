"""
The context of :mod:`twisted.python.context` while an event is handled, made on demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.python.log import ILogContext


class EventContext:
    """
    The context of :mod:`twisted.python.context` while an event is handled: the log
    context, whose ``system`` is the log prefix of the object that handles the event.

    :param outer: the log context around it.
    :ivar owner: the object that handles the current event (``ILoggingContext``).
    """

    __slots__ = ("_outer", "owner")

    def __init__(self, outer: Mapping[str, Any]) -> None:
        self._outer = outer
        self.owner: Any = None

    def __getitem__(self, key: object) -> dict[str, Any]:
        """
        Make the log context.

        :raise KeyError: for any other key.
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

    A thread pool takes the last one, and keeps it while the reactor goes on: so it
    gets a copy of the event's context as it is now.
    """

    def __getitem__(self, index: Any) -> Any:
        """
        Return a context that may be kept.
        """
        found = super().__getitem__(index)
        return {ILogContext: found[ILogContext]} if isinstance(found, EventContext) else found
