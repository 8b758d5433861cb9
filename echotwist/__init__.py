"""
The echo service (RFC 862), as a Twisted application.

:class:`Echo`, :class:`EchoFactory` and :class:`DatagramEcho` are plain Twisted
protocols and a factory, to use anywhere.  :class:`EchoService` is the whole
service, in as many processes as its :class:`Settings` say; :func:`makeService`
makes one from the :class:`Options` of a command line.
"""

from importlib import import_module

TYPE_CHECKING = False  # ``typing`` has the same, but takes longer to import than all of this.
if TYPE_CHECKING:
    from echotwist.echo import DatagramEcho, Echo
    from echotwist.service import EchoService
    from echotwist.settings import Settings
    from echotwist.sockets.errors import ListenError
    from echotwist.streams.factory import EchoFactory
    from echotwist.tap import Options, makeService, serviceFor

__all__ = [
    "DatagramEcho",
    "Echo",
    "EchoFactory",
    "EchoService",
    "ListenError",
    "Options",
    "Settings",
    "makeService",
    "serviceFor",
]

#: The module of each public name.  A name is imported at its first use: a program
#: that needs one part of the package does not wait for all others.
_PLACES = {
    "DatagramEcho": "echo",
    "Echo": "echo",
    "EchoFactory": "streams.factory",
    "EchoService": "service",
    "ListenError": "sockets.errors",
    "Options": "tap",
    "Settings": "settings",
    "makeService": "tap",
    "serviceFor": "tap",
}


def __getattr__(name: str) -> object:
    """
    Import a public name (PEP 562).
    """
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
