"""
Describe in words how connections end.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from echotwist.sockets.errors import reasonOfTLS

_ENDS: dict[object, str] = {
    ConnectionDone: "closed",
    ConnectionLost: "lost",
    ConnectionAborted: "reset",
}


def endText(reason: Failure) -> str:
    """
    Describe why a connection ended.
    """
    if reason.type in _ENDS:
        return _ENDS[reason.type]
    said = reasonOfTLS(reason.value)
    return f"TLS error: {said}" if said else str(reason.value)
