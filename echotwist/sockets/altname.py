"""
Find network interfaces by any of their names.

Besides its main name an interface may have alternative names, of up to 127 bytes
(ip-link(8), ``altname``).  The C library knows only names of up to 15 bytes;
rtnetlink(7) knows all.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys

from echotwist.sockets import netlink

#: Bytes of a name that the C library knows: ``IFNAMSIZ`` of ``linux/if.h``, without the NUL.
_SHORT_NAME = 15

#: From ``linux/rtnetlink.h`` and ``linux/if_link.h``.
_RTM_GETLINK, _RTM_NEWLINK, _IFLA_ALT_IFNAME = 18, 16, 53

#: ``struct ifinfomsg``, which contains the index.
_INTERFACE = struct.Struct("=BxHiII")


def indexOf(name: str) -> int:
    """
    Return the index of a network interface.

    :param name: its main name, or an alternative one.
    :raise OSError: no interface has that name.
    """
    text = os.fsencode(name)
    if sys.platform == "linux" and len(text) > _SHORT_NAME and b"\0" not in text:
        return _ask(text)
    return socket.if_nametoindex(name)


def _ask(name: bytes) -> int:
    wanted = netlink.attribute(_IFLA_ALT_IFNAME, name + b"\0")
    body = _INTERFACE.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + wanted
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.sendto(netlink.request(_RTM_GETLINK, netlink.ASK_ONE, body), (0, 0))
        kind, answer = next(netlink.messages(kernel.recv(2**16)))
    if kind != _RTM_NEWLINK:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    index: int = _INTERFACE.unpack_from(answer)[2]
    return index
