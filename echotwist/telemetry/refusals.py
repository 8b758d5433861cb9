"""
The reasons to refuse a connection or a datagram, and what helps.
"""

from __future__ import annotations

_HOST = {"not allowed": "see --allow and --deny"}

_STREAM_REASONS = {
    **_HOST,
    "too many connections": "raise --max-connections or the limit on open files",
    "too many connections of one peer": "raise --max-per-peer",
    "unfinished PROXY header": "connect through the proxy",
    "no PROXY header": "connect through the proxy, and have it send the header",
}

_TLS = {
    "unfinished TLS handshake": "",
    "failed TLS handshake": "",
}

_ADDRESSED = {
    **_HOST,
    "multicast or broadcast": "send to an address of this host",
    "source is no host": "",
    "source is a group": "",
    "rate": "send less, or raise --udp-rate",
    "loop": "number the datagrams, or raise --loop-rate",
}

_PORTS = {
    "low source port": "send from a port above 1023, or allow it with --answer-low-ports",
    "source port 0": "",
    "own port as source": "send from another port",
}

_NAMED = {
    "unbound sender": "bind the sender to a name",
    "relative name": "bind the sender to an absolute path",
    "own socket as source": "",
    "name of no socket": "",
    "socket of another user": "give the sender's socket to the user who sends (chown)",
    "unknown sender": "PassCredentials=yes in the .socket unit, and no user namespace",
    "unknown owner": "let the service use AF_NETLINK, or bind the sender to a path",
    "no /proc": "mount /proc where the service runs",
    "peer reads nothing": "",
    "others read nothing": "raise net.core.wmem_max",
    "loop": _ADDRESSED["loop"],
}

#: What helps against each refusal, or an empty text; by transport, then by reason.
REMEDIES = {
    "TCP": _STREAM_REASONS,
    "TLS": _STREAM_REASONS | _TLS,
    "UNIX": _STREAM_REASONS,
    "UDP": _PORTS | _ADDRESSED,
    "UNIX datagram": _NAMED,
    "raw": _ADDRESSED,
}


def remediesOf(transport: str) -> dict[str, str]:
    """
    Return the known reasons of a transport, each with what helps, or an empty text.

    :param transport: the name of the transport; those of plugins are streams.
    """
    return REMEDIES.get(transport, _STREAM_REASONS)
