"""
Echo of streams with a text before each line.
"""

from __future__ import annotations

from echotwist.echo import Echo, Owner
from echotwist.streams.prefix import LinePrefix
from echotwist.streams.wrappers import lowestTransport

#: Bytes read at once, and kept for a peer that is slow to take them.
CHUNK = 65536


def chunk(prefix: bytes) -> int:
    """
    Tell how many bytes may be read at once, so that few are to be kept.

    With a prefix, a segment of nothing but newlines grows much.
    """
    return max(1, CHUNK // (1 + len(prefix)))


class PrefixEcho(Echo):
    """
    Echo with a text before each line: ``You said : ``.

    :param prefix: the text, in bytes.
    """

    isExact = False

    def __init__(self, prefix: bytes, owner: Owner | None = None) -> None:
        super().__init__(owner)
        self._prefixed = LinePrefix(prefix)
        self._added = 0
        self._chunk = chunk(prefix)

    def connectionMade(self) -> None:
        """
        Tie reading to writing, in pieces that stay small with the prefixes.
        """
        lowestTransport(self.transport).bufferSize = self._chunk
        super().connectionMade()

    @property
    def sent(self) -> int:
        """
        How many bytes have gone out, or wait to, prefixes and all.
        """
        return self.received + self._added

    def dataReceived(self, data: bytes) -> None:
        """
        Give back what came in, with the prefixes.
        """
        reply = self._prefixed(data)
        added = len(reply) - len(data)
        self._added += added
        self.counters.sentBytes += added
        self.transport.write(reply)
        self.passed(len(data))
