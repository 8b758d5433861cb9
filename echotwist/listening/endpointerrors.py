"""
Error messages for endpoints that do not listen.
"""

from __future__ import annotations

import re

from echotwist.sockets.errors import ListenError, reasonOfTLS

#: Modules that are missing without the extra; the latter name is Twisted's.
_OF_TLS = ("OpenSSL", "SNIConnectionCreator")


def endpointError(text: str, error: Exception, what: str) -> ListenError:
    """
    Explain why an endpoint does not listen.

    :param what: what the endpoint is for.
    """
    if isinstance(error, ListenError):
        return error
    cause: Exception = getattr(error, "socketError", error)
    hint = ""
    if isinstance(error, LookupError) and "systemd:" in text:
        cause = OSError("no such socket was passed to this process")
        hint = "this endpoint finds none unless all have names; --systemd takes all as they are"
    elif isinstance(error, ImportError | NameError) and error.name in _OF_TLS:
        cause = OSError("TLS needs pyOpenSSL: pip install 'echotwist[tls]'")
    elif isinstance(error, ValueError) and "::" in text:
        hint = r"in an endpoint, colons of an address are written \:"
        cause = OSError(_reasonOf(error))
    elif isinstance(error, MemoryError):
        cause = OSError("pyOpenSSL needs memory that can be both written and executed")
        hint = "in a unit of systemd: MemoryDenyWriteExecute=no"
    elif isinstance(cause, OSError) and cause.filename:
        cause = OSError(cause.errno, f"{cause.filename}: {cause.strerror}")
    elif not isinstance(cause, OSError) or cause.errno is None:
        cause = OSError(_reasonOf(cause))
    return ListenError(what, text, cause, hint)


def _reasonOf(error: Exception) -> str:
    """
    Explain what an endpoint raised.
    """
    if reason := reasonOfTLS(error):
        return f"OpenSSL finds fault with key, certificate or parameters (PEM): {reason}"
    # A message on missing or unknown parameters follows the name of a function.
    return re.sub(r"^\w+\(\) ", "", str(error)) or type(error).__name__
