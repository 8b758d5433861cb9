"""
Ports that go on when something outside breaks their socket.

``ss -K`` (``SOCK_DESTROY``, sock_diag(7)) makes the kernel unbind a socket, and
shutdown(2) by another process that shares the socket makes it stop listening.  Twisted
takes such an event, and any pending error of a socket, for the end of a connection:
it closes the port for good.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from twisted.internet.abstract import FileDescriptor
from twisted.logger import Logger

from echotwist.reactors import IReactor
from echotwist.sockets.addresses import SocketName, interfaceName
from echotwist.sockets.errors import inWords
from echotwist.sockets.opening import Socket, listenerText
from echotwist.sockets.options import ignoreReports

#: ``SO_BINDTOIFINDEX`` from Linux's ``asm-generic/socket.h``; Python has no name for it.
_BIND_TO_INDEX = 62 if sys.platform == "linux" else None

_log = Logger()

_INTERNET_FAMILIES = (socket.AF_INET, socket.AF_INET6)

#: Events of poll(2): an error is pending; the socket can no longer read or write.
_ERROR = getattr(select, "POLLERR", 0)
_SHUT = getattr(select, "POLLHUP", 0) | getattr(select, "POLLRDHUP", 0)

#: Errors read from one socket in one go, before other sockets have their turn.
_ERRORS_AT_ONCE = 64


class Place(NamedTuple):
    """
    The address and network interface that a socket is bound to.

    :param name: its address, as bind(2) takes it.
    :param interface: the name of the network interface, if any.
    """

    name: SocketName
    interface: str

    @classmethod
    def of(cls, listener: socket.socket) -> Place:
        """
        Return the place of a socket.
        """
        return cls(listener.getsockname(), interfaceName(deviceOf(listener)))

    def restore(self, listener: socket.socket) -> None:
        """
        Bind a socket to this place again, as far as the kernel has unbound it: for UDP the
        network interface, and a port number that the kernel had chosen.

        :raise OSError: another socket has taken the place.
        """
        if listener.family not in _INTERNET_FAMILIES:
            return
        if self.interface and not deviceOf(listener):
            bindToDevice(listener, socket.if_nametoindex(self.interface))
        try:
            listener.bind(self.name)
        except OSError as error:
            if error.errno != errno.EINVAL:  # The socket is still bound.
                raise


def deviceOf(listener: socket.socket) -> int:
    """
    Return the index of the network interface that a socket is bound to, or 0.
    """
    if _BIND_TO_INDEX is None or listener.family not in _INTERNET_FAMILIES:
        return 0
    return listener.getsockopt(socket.SOL_SOCKET, _BIND_TO_INDEX)


def bindToDevice(listener: socket.socket, index: int) -> None:
    """
    Bind a socket to a network interface.

    :raise OSError: there is no such interface; or the process may not bind a socket again.
    """
    assert _BIND_TO_INDEX is not None
    listener.setsockopt(socket.SOL_SOCKET, _BIND_TO_INDEX, index)


def _eventsOf(listener: socket.socket) -> int:
    """
    Return the events that poll(2) always reports; none on systems without it.
    """
    if not _SHUT:
        return 0
    poll = select.poll()
    poll.register(listener, _SHUT)
    return sum(events for _, events in poll.poll(0))


def _errorsOf(listener: socket.socket) -> Iterator[OSError]:
    """
    Take the pending errors of a socket, and the messages that come with them.
    """
    if listener.family in _INTERNET_FAMILIES:
        ignoreReports(listener)
    for _ in range(_ERRORS_AT_ONCE):
        number = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            yield OSError(number, os.strerror(number))
        # A UNIX socket would return a datagram instead.
        if listener.family not in _INTERNET_FAMILIES or not hasattr(socket, "MSG_ERRQUEUE"):
            return
        try:
            listener.recv(1, socket.MSG_ERRQUEUE)
        except OSError:
            return


def _say(why: str) -> None:
    _log.critical("{why}", why=why)


class RecoveringPort(FileDescriptor):
    """
    The base of stream and datagram ports: no event closes them.

    :ivar giveUp: called with the reason, in words, when the port can no longer serve.
    """

    giveUp: Callable[[str], object] = staticmethod(_say)
    socket: Socket
    reactor: IReactor

    def remember(self, listener: Socket, transport: str) -> None:
        """
        Remember where a socket is bound.

        :param transport: the name of the transport.
        """
        self._place = Place.of(listener)
        self._text = listenerText(listener, transport)

    def survives(self) -> bool:
        """
        Go on after an event that a reactor takes for the end, unless the port is closing.
        """
        if self.disconnecting or not self.reactor.running:
            return False
        self.startReading()
        self.examine()
        return True

    def examine(self) -> None:
        """
        Find out which event woke the port, if nothing has come in.
        """
        events = _eventsOf(self.socket)
        if events & _ERROR:
            for error in _errorsOf(self.socket):
                self.failed("receive", error)
        if events & _SHUT:
            self.renew()

    def failed(self, call: str, error: OSError) -> None:
        """
        Note an error, and restore the socket if it is broken.

        :param call: the action that failed, in a word: ``receive``.
        """
        raise NotImplementedError

    def restore(self) -> None:
        """
        Restore the socket.

        :raise OSError: the socket cannot be restored.
        """
        self._place.restore(self.socket)

    def renew(self) -> None:
        """
        Restore the socket, or else give up.
        """
        try:
            self.restore()
            if _eventsOf(self.socket) & _SHUT:
                raise OSError(errno.ESHUTDOWN, os.strerror(errno.ESHUTDOWN))
        except OSError as error:
            self.lose(error)
        else:
            _log.warn("{listener} was taken away, and is back", listener=self._text)

    def lose(self, error: OSError) -> None:
        """
        Give up the port.

        :param error: the error that says what the socket lacks.
        """
        self.stopReading()
        self.giveUp(f"{self._text} was taken away: {inWords(error)}")
