"""
Echo of streams with a text before each line.
"""

from __future__ import annotations

from echotwist.streams.counted import CountedEcho, IEchoOwner
from echotwist.streams.prefix import LinePrefix
from echotwist.streams.wrappers import lowestTransport

#: Bytes read at once, and kept for a slow peer.
CHUNK = 65536


def chunk(prefix: bytes) -> int:
    """
    Return how many bytes to read at once, so that few must be kept.

    A segment that contains only newlines grows a lot with a prefix.
    """
    return max(1, CHUNK // (1 + len(prefix)))


class PrefixEcho(CountedEcho):
    """
    Echo with the prefix of its owner before each line: ``You said : ``.
    """

    isExact = False

    def __init__(self, owner: IEchoOwner, host: str = "") -> None:
        super().__init__(owner, host)
        self._prefixed = LinePrefix(owner.prefix)
        self._added = 0
        self._chunk = chunk(owner.prefix)

    def connectionMade(self) -> None:
        """
        Limit the size of reads, so that pieces stay small with their prefixes.
        """
        lowestTransport(self.transport).bufferSize = self._chunk
        super().connectionMade()

    @property
    def sent(self) -> int:
        """
        How many bytes have gone out, or wait to go out, with prefixes.
        """
        return self.received + self._added

    def dataReceived(self, data: bytes) -> None:
        """
        Send back the bytes that came in, with prefixes.
        """
        reply = self._prefixed(data)
        added = len(reply) - len(data)
        self._added += added
        self.counters.sentBytes += added
        self.transport.write(reply)
        self.passed(len(data))
