"""
Read the file of targets: TOML, whose keys are options of ``ping``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import Attribute, evolve, frozen

from echotwist.commandline.declaration import Flag, Option, optionsOf
from echotwist.probe.places import ProbeError
from echotwist.probe.target import Target, targetsOf
from echotwist.probe.watch.settings import WatchSettings
from echotwist.sockets.errors import inWords

#: Bytes of a file at most: the path may lead to a device without end.
_LARGEST = 2**24

#: Options that apply to all targets, never to one.
_OF_ALL = (
    *("count", "duration", "flood", "metrics", "plot", "reactor", "seed"),
    *("csv", "json", "jsonl"),
)

#: Options that a table may set, with their fields.
_KEYS: dict[str, tuple[Attribute[Any], Option]] = {
    option.name: (setting, option)
    for setting, option in optionsOf(WatchSettings)
    if option.name not in _OF_ALL
}

#: Options that replace each other: the more specific table counts.
_INSTEAD = {"rate": "interval", "interval": "rate", "ipv4": "ipv6", "ipv6": "ipv4"}


@frozen
class Entry:
    """
    One target of a file.

    :param name: its name, which no other target has.
    :param target: the target.
    :param settings: how to probe it.
    """

    name: str
    target: Target
    settings: WatchSettings


def entriesIn(path: str, settings: WatchSettings) -> list[Entry]:
    """
    Read a file.

    :param settings: the settings where the file sets none.
    :raise ProbeError: the file cannot be read, or is not a list of targets.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ProbeError(f"{path}: {inWords(error)}") from None
    except ValueError:  # A NUL in the path.
        raise ProbeError(f"{path!r}: no path") from None
    if len(data) > _LARGEST:
        raise ProbeError(f"{path}: more than {_LARGEST // 2**20} MiB: no list of targets")
    try:
        return list(_entries(_parsed(data), settings))
    except ValueError as error:
        raise ProbeError(f"{path}: {error}") from None


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError:  # Python 3.10.
        try:
            import tomli as tomllib  # type: ignore[no-redef, import-not-found, unused-ignore]
        except ImportError:
            raise ProbeError("Python 3.10 needs tomli: pip install 'echotwist[probe]'") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8, from byte {error.start} on: no list of targets") from None
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"not valid TOML: {error}") from None


def _entries(found: Mapping[str, Any], settings: WatchSettings) -> Iterator[Entry]:
    common = {key: value for key, value in found.items() if key != "target"}
    everybody = _evolved(settings, common)
    tables = found.get("target", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise ValueError(
            "target: write each target as a table of its own, which begins with [[target]]"
        )
    if not tables:
        raise ValueError("no targets; write [[target]], and below it to = 'udp:192.0.2.1'")
    known: Counter[str] = Counter()
    for number, table in enumerate(tables, 1):
        for entry in _entriesOf(table, everybody, number):
            known[entry.name] += 1
            if known[entry.name] > 1:
                raise ValueError(f"{entry.name}: two targets have this name")
            yield entry


def _entriesOf(table: Mapping[str, Any], settings: WatchSettings, number: int) -> Iterator[Entry]:
    to, name = table.get("to"), table.get("name")
    said = name or to or f"target {number}"
    if not isinstance(to, str):
        raise ValueError(f"{said}: it has no string 'to', as in: to = 'udp:192.0.2.1'")
    if not (name is None or isinstance(name, str)) or name == "":
        raise ValueError(f"{said}: its name is not a string")
    for key, text in (("to", to), ("name", name or "")):
        if not text.isprintable():
            raise ValueError(f"{key} {text!r}: not all of it can be printed")
    try:
        targets = targetsOf(to)
        rest = {key: value for key, value in table.items() if key not in ("to", "name")}
        settings = _evolved(settings, rest)
    except ValueError as error:
        raise ValueError(f"{said}: {error}" if name else str(error)) from None
    for target in targets:
        suffix = f" {target.kind}" if len(targets) > 1 else ""
        yield Entry(f"{name}{suffix}" if name else str(target), target, settings)


def _evolved(settings: WatchSettings, found: Mapping[str, Any]) -> WatchSettings:
    """
    Apply the keys of a table to settings.
    """
    changes: dict[str, Any] = {}
    for key, value in found.items():
        if key not in _KEYS:
            raise ValueError(
                f"{key}: unknown key; the keys are to, name, {', '.join(sorted(_KEYS))}"
            )
        if key in _INSTEAD and _INSTEAD[key] not in found:
            changes[_INSTEAD[key]] = None if key in ("rate", "interval") else False
        setting, option = _KEYS[key]
        changes[setting.name] = _valueOf(option, value)
    return evolve(settings, **changes)


def _valueOf(option: Option, value: Any) -> Any:
    """
    Convert a TOML value to the value of an option.
    """
    kind, name = option.kind, option.name
    if isinstance(value, str) and "\0" in value:
        raise ValueError(f"{name} {value!r}: it has a NUL")
    if kind.isRepeatable:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            raise ValueError(f"{name} {value!r}: not a list of strings")
        return tuple(kind.parse(name, one) for one in texts)
    if isinstance(value, str) and not isinstance(kind, Flag):
        return kind.parse(name, value)
    if isinstance(value, bool) and not isinstance(kind, Flag):
        raise ValueError(
            f"{name}: true and false are no values; it takes {kind.takes or 'a string'}"
        )
    kind.check(name, value)
    return value
