"""
Readers that are made only when they are needed: most descriptors never need one.
"""

from __future__ import annotations

from typing import Any, Protocol


class ILateReaders(Protocol):
    """
    A source of such readers.
    """

    def reader(self, fd: int) -> Any:
        """
        Make the reader of a descriptor; ``None`` if it has none here.
        """

    def readers(self) -> list[Any]:
        """
        Make all readers.
        """


class LateReaders:
    """
    The sources of such readers.
    """

    def __init__(self) -> None:
        self._sources: list[ILateReaders] = []

    def add(self, source: ILateReaders) -> None:
        """
        Add a source.
        """
        self._sources.append(source)

    def find(self, fd: int) -> Any:
        """
        Make the reader of a descriptor; ``None`` if no source has it.
        """
        for source in self._sources:
            reader = source.reader(fd)
            if reader is not None:
                return reader
        return None

    def all(self) -> list[Any]:
        """
        Make the readers of all sources.
        """
        return [reader for source in self._sources for reader in source.readers()]
