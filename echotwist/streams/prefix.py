"""
Put a text before each line of a stream.
"""

from __future__ import annotations


class LinePrefix:
    """
    Put a text at the start of a stream and after each newline that is
    followed by more, however the stream is cut into segments.

    No byte is held back: each segment is returned at once.  Only the fact that a line
    has ended is kept for the next one.

    :param prefix: the text, in bytes.
    """

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._lineEnded = True

    def __call__(self, segment: bytes) -> bytes:
        """
        Return the segment with its prefixes.

        :param segment: the bytes that came next; may be empty.
        """
        if not segment:
            return segment
        start = self._prefix if self._lineEnded else b""
        self._lineEnded = segment.endswith(b"\n")
        # Leave out the last byte: nothing follows a newline there yet.
        body = segment[:-1].replace(b"\n", b"\n" + self._prefix)
        return start + body + segment[-1:]
