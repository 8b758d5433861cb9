"""
The echo service (RFC 862), as a Twisted application.

:class:`Echo`, :class:`EchoFactory` and :class:`DatagramEcho` are plain Twisted
protocols and a factory, to use anywhere.  :class:`EchoService` is the whole
service, made of :class:`Settings` in a tac file, or by :func:`makeService` of
a command line's :class:`Options`.
"""

from echotwist.datagram import DatagramEcho
from echotwist.factory import EchoFactory
from echotwist.service import EchoService
from echotwist.settings import Settings
from echotwist.sockets import ListenError
from echotwist.stream import Echo
from echotwist.tap import Options, makeService

__all__ = [
    "DatagramEcho",
    "Echo",
    "EchoFactory",
    "EchoService",
    "ListenError",
    "Options",
    "Settings",
    "makeService",
]
