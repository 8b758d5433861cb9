"""
Follow network interfaces that are deleted and made again.

A socket is bound to the number of its network interface (``SO_BINDTODEVICE``,
socket(7)).  When a VPN, container or driver deletes an interface and makes it again,
it has another number: the socket gets nothing more, and no error.  The kernel reports
each change to a program that subscribes (rtnetlink(7)); that costs nothing meanwhile.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IReactorFDSet
from twisted.logger import Logger
from twisted.python.failure import Failure

from echotwist.listening.listeners import Listener
from echotwist.recovery import bindToDevice, deviceOf
from echotwist.sockets.addresses import interfaceName
from echotwist.sockets.errors import inWords

#: From ``linux/netlink.h`` and ``linux/rtnetlink.h``.
_NETLINK_ROUTE, _SOL_NETLINK, _NETLINK_NO_ENOBUFS, _RTMGRP_LINK = 0, 270, 5, 1

#: Messages read in one go, before other sockets have their turn.
_MESSAGES = 64

_log = Logger()


class Link:
    """
    The network interface of one socket.

    :param listener: the socket.
    :param text: where it listens, as a person reads it.
    :ivar fault: why the socket receives nothing, in words; empty while it can.
    """

    def __init__(self, listener: socket.socket, text: str) -> None:
        self._socket = listener
        self._text = text
        self._index = deviceOf(listener)
        self._name = interfaceName(self._index)
        self.fault = ""

    @property
    def isNeeded(self) -> bool:
        """
        Whether the socket is bound to a network interface at all.
        """
        return self._index != 0

    def follow(self) -> None:
        """
        Bind the socket again if its network interface was deleted and made again.
        """
        before, self.fault = self.fault, self._follow()
        if self.fault and self.fault != before:
            _log.warn("{listener} hears nothing: {why}", listener=self._text, why=self.fault)
        elif before and not self.fault:
            _log.info("{listener} hears {name} again", listener=self._text, name=self._name)

    def _follow(self) -> str:
        if interfaceName(self._index):
            return ""
        try:
            index = socket.if_nametoindex(self._name)
        except OSError:
            return f"the network interface {self._name} is gone"
        try:
            bindToDevice(self._socket, index)
        except OSError as error:
            why = f"{inWords(error)}; this needs CAP_NET_RAW, or a new start"
            return f"it cannot be bound to the new {self._name}: {why}"
        self._index = index
        return ""


class Links(FileDescriptor):
    """
    Listen for changes of network interfaces.

    :param links: the network interfaces of the sockets.
    :param reactor: the reactor that waits for changes.
    :raise OSError: the system does not report changes.
    """

    def __init__(self, links: Iterable[Link], reactor: IReactorFDSet) -> None:
        super().__init__(reactor)
        self._links = list(links)
        family = socket.AF_NETLINK
        self._socket = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_ROUTE)
        # If the kernel drops a message, another one of the same change is enough.
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
        self._socket.bind((0, _RTMGRP_LINK))
        self.startReading()
        self._follow()

    @property
    def fault(self) -> str:
        """
        Why a socket receives nothing, in words; empty while all can.
        """
        return next((link.fault for link in self._links if link.fault), "")

    def fileno(self) -> int:
        """
        Return the descriptor.
        """
        return self._socket.fileno()

    def doRead(self) -> None:
        """
        Check all sockets after any change.
        """
        with suppress(BlockingIOError):
            for _ in range(_MESSAGES):
                self._socket.recv(1)
        self._follow()

    def _follow(self) -> None:
        for link in self._links:
            link.follow()

    def connectionLost(self, reason: Failure) -> None:
        """
        Stop listening for changes.
        """
        super().connectionLost(reason)
        self._socket.close()


def watchLinks(listeners: Iterable[Listener], reactor: IReactorFDSet) -> Links | None:
    """
    Follow the network interfaces that sockets are bound to.

    :return: ``None`` if no socket is bound to one.
    """
    links = [Link(one.socket, one.text) for one in listeners if one.socket is not None]
    needed = [link for link in links if link.isNeeded]
    try:
        return Links(needed, reactor) if needed else None
    except OSError as error:
        _log.warn("cannot watch network interfaces: {why}", why=inWords(error))
        return None
