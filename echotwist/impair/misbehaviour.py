"""
``--impair`` as an option.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from echotwist.commandline.declaration import Texts
from echotwist.impair.grammar import Impairments, wordsOf


@frozen
class Misbehaviour(Texts):
    """
    The impairments of a service, in words separated by commas.
    """

    takes = "words"

    def read(self, text: str) -> None:
        """
        Check that every word of a text is known, and its value right.
        """
        list(wordsOf(text))

    def check(self, name: str, value: Any) -> None:
        """
        Check that the words make sense together.
        """
        super().check(name, value)
        try:
            Impairments.of(value)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
