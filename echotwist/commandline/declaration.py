"""
The declaration of an option: how the command line writes it, and which values it takes.

Each is declared once, beside its field of :class:`echotwist.Settings`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import Attribute, field, fields, frozen

from echotwist.sockets.access import networkOf

#: The key of an option among the metadata of a field.
_KEY = "option"

#: Port numbers; 0 asks the kernel for a free one.
PORTS = range(65536)

#: Connections that may wait to be accepted, listen(2).
BACKLOGS = range(1, 65536)

#: Seconds of ``SO_LINGER`` (socket(7)).  The BSDs store a short integer.
LINGERS = range(32768)

#: The range of numbers that count something; 0 is often none, or any.
COUNTS = range(10**9 + 1)

#: The longest time that an option takes, in seconds: some 24 days, which is what
#: ``TCP_USER_TIMEOUT`` holds in milliseconds.
LONGEST_SECONDS = 2_000_000


@frozen
class Kind:
    """
    A kind of values that an option takes; this base class takes texts.

    :ivar isFlag: the option has no value.
    :ivar isRepeatable: the option may be given several times.
    :ivar takes: the placeholder of a value in the help, in a word.
    """

    isFlag = False
    isRepeatable = False
    takes = ""

    def parse(self, name: str, text: str) -> Any:
        """
        Turn the text of a command line into a value.

        :param name: the option's name, for an error.
        :raise ValueError: the text means no such value.
        """
        return text

    def check(self, name: str, value: object) -> None:
        """
        Check that a value is of this kind.

        :raise ValueError: it is not.
        """
        _mustBe(str, name, value)


@frozen
class Number(Kind):
    """
    Whole numbers.

    :param allowed: the range.
    :param words: words that stand for numbers, in the range or not.
    """

    takes = "number"
    allowed: range
    words: Mapping[str, int] = field(factory=dict)

    def parse(self, name: str, text: str) -> int:
        """
        Take digits, or one of the words.
        """
        isFigures = re.fullmatch("[0-9]{1,10}", text) and int(text) in self.allowed
        if not isFigures and text not in self.words:
            raise ValueError(self._fault(name, text))
        return self.words[text] if text in self.words else int(text)

    def check(self, name: str, value: object) -> None:
        """
        Check that a number is in the range, or one that a word stands for.
        """
        # For anything but a whole number, ``in`` would compare every number of the range.
        isAllowed = type(value) is int and (value in self.allowed or value in self.words.values())
        if not isAllowed:
            raise ValueError(self._fault(name, value))

    def _fault(self, name: str, value: object) -> str:
        words = "".join(f", nor {word}" for word in self.words)
        bounds = f"from {self.allowed[0]} to {self.allowed[-1]}"
        return f"{name} {value}: not a whole number {bounds}{words}"


@frozen
class Seconds(Kind):
    """
    Times.
    """

    takes = "seconds"

    def parse(self, name: str, text: str) -> float:
        """
        Take digits, with or without a decimal point.
        """
        isFigures = re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,10})?", text)
        value = float(text) if isFigures else text
        self.check(name, value)
        return float(value)

    def check(self, name: str, value: Any) -> None:
        """
        Check that a time is not too long.
        """
        if type(value) not in (int, float) or not 0 <= value <= LONGEST_SECONDS:
            raise ValueError(f"{name} {value}: not a time from 0 to {LONGEST_SECONDS} seconds")


@frozen
class Bytes(Kind):
    """
    Texts, as the bytes that the shell passed.
    """

    def parse(self, name: str, text: str) -> bytes:
        """
        Return the bytes that the shell passed, UTF-8 or not.
        """
        return text.encode("utf-8", "surrogateescape")

    def check(self, name: str, value: object) -> None:
        """
        Check that the value is bytes.
        """
        _mustBe(bytes, name, value)


@frozen
class Texts(Kind):
    """
    Any number of texts.
    """

    isRepeatable = True

    def read(self, text: str) -> None:
        """
        Check that a text makes sense; by default every text does.

        :raise ValueError: it does not.
        """

    def parse(self, name: str, text: str) -> str:
        """
        Return a text that makes sense.
        """
        try:
            self.read(text)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
        return text

    def check(self, name: str, value: Any) -> None:
        """
        Check that each value is a text, and makes sense.

        :raise TypeError: a value is not a text.
        """
        for one in value:
            if not isinstance(one, str):
                raise TypeError(f"{name} {one!r}: not of type str")
        for one in value:
            self.parse(name, one)


@frozen
class Networks(Texts):
    """
    Any number of addresses and networks.
    """

    takes = "address or network"

    def read(self, text: str) -> None:
        """
        Check that a text names a network.
        """
        try:
            networkOf(text)
        except ValueError as error:
            raise ValueError(f"{text}: {error}") from None


@frozen
class Flag(Kind):
    """
    Yes or no.

    :param means: the value when the option is given.
    """

    isFlag = True
    means: bool = True

    def check(self, name: str, value: object) -> None:
        """
        Check that the value is one of the two.
        """
        _mustBe(bool, name, value)


def _mustBe(expected: type, name: str, value: object) -> None:
    if type(value) is not expected:
        raise ValueError(f"{name} {value!r}: not of type {expected.__name__}")


@frozen
class Option:
    """
    The command-line option of a setting.

    :param name: without dashes.
    :param kind: the kind of its values.
    :param help: what the option does, in a line.
    :param short: its letter, if it has one.
    :param takes: the placeholder of its value in the help, such as its unit.
    """

    name: str
    kind: Kind
    help: str
    short: str | None = None
    takes: str = ""


def said(
    name: str, kind: Kind, help: str, short: str | None = None, takes: str = ""
) -> dict[str, Option]:
    """
    Declare the option of a field, as its metadata; see :class:`Option`.

    :param takes: the placeholder of its value, if the kind has none.
    """
    return {_KEY: Option(name, kind, help, short, takes or kind.takes)}


def validate(_: object, attribute: Attribute[Any], value: Any) -> None:
    """
    Check the value of a field; ``None`` is allowed if it is the default.
    """
    if value is not None or attribute.default is not None:
        attribute.metadata[_KEY].kind.check(attribute.name, value)


def manyOf(words: Iterable[str]) -> tuple[str, ...]:
    """
    Turn a single text into a list with one text (a ``converter``).
    """
    return (words,) if isinstance(words, str) else tuple(words)


def checked(_: type, found: list[Attribute[Any]]) -> list[Attribute[Any]]:
    """
    Add to each field of settings the check of its option (a ``field_transformer``).
    """
    return [one.evolve(validator=validate) for one in found]


def optionsOf(settings: type[Any]) -> list[tuple[Attribute[Any], Option]]:
    """
    Return the fields of settings that have an option, each with its option.
    """
    return [(one, one.metadata[_KEY]) for one in fields(settings)]
