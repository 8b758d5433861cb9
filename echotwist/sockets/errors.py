"""
Turn errors into words (pure).
"""

from __future__ import annotations

import errno

#: Remedies for errors whose reason alone does not suggest one.
_HINTS = {
    errno.EADDRINUSE: "another program has it; --reuse shares it with programs that do the same",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}


class StartError(Exception):
    """
    An error that keeps the service from starting; its text is one line for a person.
    """


class ListenError(StartError):
    """
    A listener that could not be opened; its text is one line for a person.

    :param transport: ``TCP``, ``UDP`` or both.
    :param place: the address and port.
    :param error: the system's error, or ours, which has no number.
    :param hint: a remedy, if one is known.
    :ivar number: the number of the system's error.
    """

    def __init__(self, transport: str, place: str, error: OSError, hint: str = "") -> None:
        said = f"cannot listen on {transport} {place}: {inWords(error)}"
        hint = hint or _HINTS.get(error.errno or 0, "")
        super().__init__(_inOneLine(f"{said}; {hint}" if hint else said))
        self.number = error.errno


def oneLine(error: Exception) -> str:
    """
    Format the error that ends the program, as its last line.
    """
    return f"echo: {_inOneLine(str(error))}"


def _inOneLine(text: str) -> str:
    return " ".join(text.split())


def inWords(error: OSError) -> str:
    """
    Format an error: its text, and its number if it is the system's.
    """
    if error.errno is None:  # The error is our own.
        return str(error)
    return f"{error.strerror or error} (errno {error.errno})"


def reasonOfTLS(error: BaseException | None) -> str:
    """
    Return the reason of an OpenSSL error, which lists library, function and reason, from
    the first to the last; an empty text for any other error.
    """
    said = error.args[0] if error and error.args else ""
    isOpenSSLs = isinstance(said, list) and said and isinstance(said[0], tuple)
    return str(said[0][-1]) if isOpenSSLs else ""


def errorName(error: OSError) -> str:
    """
    Return the symbol of an error: ``ENOBUFS``, or its number where it has none.
    """
    return errno.errorcode.get(error.errno or 0, str(error.errno))
