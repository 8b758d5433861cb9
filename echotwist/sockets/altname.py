"""
Network interfaces by any of their names.

Besides its own an interface may have alternative names, of up to 127 bytes
(ip-link(8), ``altname``).  The C library knows names of up to 15 bytes alone;
rtnetlink(7) knows all.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys

#: Bytes of a name that the C library knows: ``IFNAMSIZ`` of ``linux/if.h``, without the NUL.
_KNOWN = 15

#: Of ``linux/rtnetlink.h`` and ``linux/if_link.h``.
_RTM_GETLINK, _RTM_NEWLINK, _NLM_F_REQUEST, _IFLA_ALT_IFNAME = 18, 16, 1, 53

#: ``struct nlmsghdr``, and ``struct ifinfomsg`` with the index in it.
_HEADER = struct.Struct("=IHHII")
_INTERFACE = struct.Struct("=BxHiII")
#: ``struct nlattr``.
_ATTRIBUTE = struct.Struct("=HH")


def indexOf(name: str) -> int:
    """
    Give the index of a network interface.

    :param name: its own, or an alternative one.
    :raise OSError: there is none of that name.
    """
    text = os.fsencode(name)
    if sys.platform == "linux" and len(text) > _KNOWN and b"\0" not in text:
        return _ask(text)
    return socket.if_nametoindex(name)


def _ask(name: bytes) -> int:
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(name) + 1, _IFLA_ALT_IFNAME) + name + b"\0"
    body = _INTERFACE.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + attribute
    size = _HEADER.size + len(body)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.sendto(_HEADER.pack(size, _RTM_GETLINK, _NLM_F_REQUEST, 0, 0) + body, (0, 0))
        answer = kernel.recv(2**16)
    if _HEADER.unpack_from(answer)[1] != _RTM_NEWLINK:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    index: int = _INTERFACE.unpack_from(answer, _HEADER.size)[2]
    return index
