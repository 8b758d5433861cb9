"""
Command lines made from the options that settings declare (see
:mod:`echotwist.commandline.declaration`), in the form that ``usage.Options`` needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import Attribute
from twisted.python import usage

from echotwist.commandline.declaration import Flag, Option, optionsOf

#: How shells complete the value of an option, by its placeholder.
_COMPLETERS: dict[str, Any] = {
    "path": usage.CompleteFiles,
    "network interface": usage.CompleteNetInterfaces,
}


class DeclaredOptions(usage.Options):
    """
    A command line with an option for each field of settings.

    A subclass names the settings: ``class Options(DeclaredOptions, settings=Settings)``.
    """

    optParameters: list[list[Any]]
    optFlags: list[list[Any]]
    compData: usage.Completions

    _declared: list[tuple[Attribute[Any], Option]]

    def __init_subclass__(
        cls, settings: type[Any] | None = None, exclusive: Sequence[tuple[str, ...]] = ()
    ) -> None:
        """
        Declare the options.

        :param settings: the class whose fields have options; without it, subclasses name theirs.
        :param exclusive: names of options of which a shell offers one at a time.
        """
        super().__init_subclass__()
        if settings is None:
            return
        cls._declared = declared = optionsOf(settings)
        options = [option for _, option in declared]
        cls.optParameters = list(_parameters(declared))
        cls.optFlags = [[one.name, one.short, one.help] for one in options if one.kind.isFlag]
        cls.compData = usage.Completions(
            multiUse=[one.name for one in options if one.kind.isRepeatable],
            mutuallyExclusive=list(exclusive),
            optActions={one.name: _completer(one) for one in options if not one.kind.isFlag},
        )
        for option in options:
            if option.kind.isRepeatable:
                add = _repeatable(option)  # one method for both names: Twisted then sees one option
                for name in filter(None, (option.name, option.short)):
                    setattr(cls, f"opt_{name.replace('-', '_')}", add)

    def __init__(self) -> None:
        super().__init__()
        for _, option in self._declared:
            if option.kind.isRepeatable:
                self[option.name] = ()

    def chosen(self) -> Iterator[tuple[str, Any]]:
        """
        Return the options that were used, by the names of the settings.
        """
        for setting, option in self._declared:
            value = self[option.name]
            if isinstance(option.kind, Flag):
                yield setting.name, option.kind.means == bool(value)
            elif value is not None:
                yield setting.name, value


def _parameters(declared: list[tuple[Attribute[Any], Option]]) -> Iterator[list[Any]]:
    """
    Return the options that take one value, in the form of ``optParameters``.
    """
    for setting, option in declared:
        if not (option.kind.isFlag or option.kind.isRepeatable):
            default = setting.default if isinstance(setting.default, (int, float)) else None
            yield [option.name, option.short, default, option.help, _coerce(option)]


def _coerce(option: Option) -> Callable[[str], Any]:
    def coerce(text: str) -> Any:
        try:
            return option.kind.parse(f"--{option.name}", text)
        except ValueError as error:
            raise usage.UsageError(str(error)) from None

    return coerce


def _completer(option: Option) -> usage.Completer:
    last = next((word for word in _COMPLETERS if option.takes.endswith(word)), "")
    completer: usage.Completer = _COMPLETERS.get(last, usage.Completer)(descr=option.takes)
    return completer


def _repeatable(option: Option) -> Callable[[usage.Options, str], None]:
    """
    Make the method that adds a value to an option that may be repeated.
    """
    coerce = _coerce(option)

    def add(options: usage.Options, text: str) -> None:
        options[option.name] = (*options[option.name], coerce(text))

    add.__doc__ = option.help
    return add
