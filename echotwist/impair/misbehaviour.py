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
    What a service does wrong on purpose, in words with commas between them.
    """

    takes = "words"

    def read(self, text: str) -> None:
        """
        See that all words of a text mean something.
        """
        list(wordsOf(text))

    def check(self, name: str, value: Any) -> None:
        """
        See that they mean something together.
        """
        super().check(name, value)
        try:
            Impairments.of(value)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
