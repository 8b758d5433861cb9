"""
A text before each line of a stream.
"""

from __future__ import annotations

import re

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from echotwist.streams.prefix import LinePrefix

#: Streams with many newlines, in segments cut anywhere.
SEGMENTS = strategies.lists(strategies.text("ab\n\r", max_size=8).map(str.encode))


class LinePrefixTests(SynchronousTestCase):
    """
    Tests for :class:`LinePrefix`.
    """

    def assertPrefixed(self, segments: list[bytes], expected: list[bytes]) -> None:
        """
        See what each segment turns into.
        """
        prefixed = LinePrefix(b"> ")
        self.assertEqual([prefixed(segment) for segment in segments], expected)

    def test_start(self) -> None:
        """
        It comes at the start, with the first byte and not before.
        """
        self.assertPrefixed([b"", b"a"], [b"", b"> a"])

    def test_lines(self) -> None:
        """
        It comes after each newline that is followed by more.
        """
        self.assertPrefixed([b"a\nb\n"], [b"> a\n> b\n"])

    def test_newlineAtTheEnd(self) -> None:
        """
        After a newline at the end of a segment it waits for the next.
        """
        self.assertPrefixed([b"a\n", b"", b"b"], [b"> a\n", b"", b"> b"])

    def test_emptyLines(self) -> None:
        """
        An empty line is a line.
        """
        self.assertPrefixed([b"\n\n", b"\n"], [b"> \n> \n", b"> \n"])

    def test_cutWithinALine(self) -> None:
        """
        A line that comes in pieces has it once.
        """
        self.assertPrefixed([b"a", b"b", b"c\nd"], [b"> a", b"b", b"c\n> d"])

    @given(SEGMENTS)
    def test_anyCuts(self, segments: list[bytes]) -> None:
        """
        However the stream is cut, the same comes out, and nothing is held back.
        """
        prefixed = LinePrefix(b"> ")
        out = b""
        for number, segment in enumerate(segments, 1):
            out += prefixed(segment)
            lines = re.findall(rb"[^\n]*\n|[^\n]+", b"".join(segments[:number]))
            self.assertEqual(out, b"".join(b"> " + line for line in lines))
