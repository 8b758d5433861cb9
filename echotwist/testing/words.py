"""
Turn settings given by keyword into the words of a command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from echotwist.commandline.declaration import Flag, Option, optionsOf


def commandWords(settings: type[Any], values: Mapping[str, object]) -> list[str]:
    """
    Turn settings into words; their names are those of the options (``idle_timeout``) or of
    the fields (``idleTimeout``).

    :param settings: the class that declares the settings.
    :raise ValueError: there is no such setting.
    """
    known: dict[str, tuple[Option, bool]] = {}
    for attribute, option in optionsOf(settings):
        means = option.kind.means if isinstance(option.kind, Flag) else True
        known[attribute.name] = option, means
        known[option.name.replace("-", "_")] = option, True
    return [word for name, value in values.items() for word in _words(known, name, value)]


def _words(known: Mapping[str, tuple[Option, bool]], name: str, value: object) -> Iterator[str]:
    if name not in known:
        near = get_close_matches(name, known, 1)
        names = (one for one in known if one.islower())
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(names))}"
        raise ValueError(f"no setting {name}; {hint}")
    option, means = known[name]
    if option.kind.isFlag:
        if not isinstance(value, bool):
            raise ValueError(f"{name} {value!r}: neither True nor False")
        yield from [f"--{option.name}"] * (value == means)
    elif value is not None:
        isMany = option.kind.isRepeatable and not isinstance(value, str)
        for one in value if isMany and isinstance(value, Iterable) else [value]:
            yield f"--{option.name}={_text(one)}"


def _text(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
