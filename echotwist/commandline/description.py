"""
The description of an endpoint, parsed and checked before anything is opened (pure).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attrs import frozen
from twisted.internet.endpoints import _tokenize

from echotwist.commandline.declaration import BACKLOGS, PORTS, Number

#: Twisted's kinds of endpoints: their parameters in order, of which the first must be
#: given; and an example.
_KINDS: Mapping[str, tuple[Sequence[str], str]] = {
    "tcp": (("port", "interface", "backlog"), "tcp:1234:interface=127.0.0.1"),
    "tcp6": (("port", "backlog", "interface"), r"tcp6:1234:interface=\:\:1"),
    "ssl": (
        (
            "port",
            "privateKey",
            "certKey",
            "sslmethod",
            "interface",
            "backlog",
            "extraCertChain",
            "dhParameters",
        ),
        "ssl:1234:privateKey=key.pem:certKey=cert.pem",
    ),
    "tls": (("path", "port", "backlog", "interface"), "tls:/etc/ssl/echo:1234"),
    "unix": (("address", "mode", "backlog", "lockfile"), "unix:/run/echo.sock"),
    "systemd": (("domain", "index", "name"), "systemd:INET:index=0"),
}

#: The texts that some parameters take, and the name of these texts in an error.
_TEXTS = {
    "mode": (r"0?[0-7]{1,3}", "not a mode in octal digits, such as 660"),
    "index": (r"[0-9]{1,9}", "not a whole number from 0"),
    "lockfile": (r"[01]", "neither 0 nor 1"),
    "domain": (r"INET6?|UNIX", "neither INET, INET6 nor UNIX"),
    "sslmethod": (r"(SSLv|TLS)\w*_METHOD", "not a method of OpenSSL"),
}

_RANGES = {"port": PORTS, "backlog": BACKLOGS}


@frozen
class Description:
    """
    The description of an endpoint, in the form of Twisted's documentation.

    :param text: the description to give to Twisted.
    :param kind: the word before the first colon.
    :param parameters: the parameters given, by name; for a plugin's kind only named ones.
    :param isProxied: each connection begins with a PROXY header.
    """

    text: str
    kind: str
    parameters: Mapping[str, str]
    isProxied: bool

    @classmethod
    def of(cls, text: str) -> Description:
        r"""
        Parse a description.

        :param text: as a person writes it; ``\0`` begins the abstract name of a
            UNIX socket, ``haproxy:`` stands before an endpoint behind a proxy.
            :raise ValueError: the description is wrong.
        """
        text = text.replace("\\0", "\0")
        words = _split(text)
        isProxied = len(words[0]) == 1 and words[0][0].lower() == "haproxy"
        if isProxied:
            text = text.partition(":")[2]
            words = words[1:] or [[""]]
        kind = words[0][0].lower() if len(words[0]) == 1 else ""
        _checkKind(kind)
        parameters = _named(kind, words[1:])
        _check(kind, parameters)
        return cls(kind + text[len(text.partition(":")[0]) :], kind, parameters, isProxied)

    @property
    def port(self) -> int:
        """
        The number of its port; 0 if it is only known once the endpoint listens.
        """
        return int(self.parameters.get("port", "443" if self.kind == "tls" else "0"))


def _split(text: str) -> list[list[str]]:
    """
    Split a description at its colons, and each part into a value, or a name and a value.
    """
    parts: list[list[str]] = [[]]
    try:
        for isValue, word in _tokenize(text):
            if isValue:
                parts[-1].append(word)
            elif word == ":":
                parts.append([])
    except RuntimeError:  # Twisted's iterator ended too soon
        raise ValueError("it ends with a single backslash; two of them are one") from None
    return parts


def _checkKind(kind: str) -> None:
    if kind == "haproxy":
        raise ValueError("haproxy is given twice")
    if kind == "stdio":
        raise ValueError("stdio is no place to listen")
    if not re.fullmatch(r"[^\W\d][^:=\\\s]*", kind):
        kinds = ", ".join(_KINDS)
        raise ValueError(
            f"it begins with no kind of endpoint; there are {kinds}; haproxy may come first"
        )


def _named(kind: str, words: Sequence[Sequence[str]]) -> dict[str, str]:
    """
    Give each value its name.
    """
    order = _KINDS[kind][0] if kind in _KINDS else ()
    values = [word[0] for word in words if len(word) == 1]
    if order and len(values) > len(order):
        raise ValueError(f"{len(values)} values; {kind} takes {', '.join(order)}")
    pairs = [*zip(order, values, strict=False), *(word for word in words if len(word) > 1)]
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is given twice")
        if order and name not in order:
            raise ValueError(f"{kind} has no parameter {name}; it has {', '.join(order)}")
        if not name.isascii():
            raise ValueError(f"no parameter is called {name}")
    return {name: value for name, value in pairs}  # noqa: C416


def _check(kind: str, parameters: Mapping[str, str]) -> None:
    """
    Check that endpoints of Twisted's own kinds have all parameters that they need, and
    that these make sense.
    """
    if kind not in _KINDS:
        return
    [needed, *_], example = _KINDS[kind]
    if not parameters.get(needed):
        raise ValueError(f"it has no {needed}, as in {example}")
    for name, value in parameters.items():
        if "\0" in value[name == "address" :]:
            raise ValueError(f"{name} holds a zero byte")
        if name == "interface" and not value:
            raise ValueError("interface is empty")
        allowed = _RANGES.get(name)
        if allowed:
            try:
                Number(allowed).parse(name, value)
            except ValueError as error:
                raise ValueError(f"{error}, as in {example}") from None
        pattern, fault = _TEXTS.get(name, (".*", ""))
        if not re.fullmatch(pattern, value, re.DOTALL):
            raise ValueError(f"{name} {value}: {fault}")
