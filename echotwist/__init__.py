"""
The echo service (RFC 862), as a Twisted application.

:class:`Echo`, :class:`EchoFactory` and :class:`DatagramEcho` are plain Twisted
protocols and a factory, to use anywhere.  :class:`EchoService` is the whole
service, in as many processes as its :class:`Settings` say; :func:`makeService`
makes it of a command line's :class:`Options`.
"""

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
