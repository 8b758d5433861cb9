"""
The service over real UDP: every datagram, whole, from the right address.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import rules
from tests.support.live import Server, ours
from tests.support.rules import asking

needsRoot = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, for a raw socket"
)


@pytest.mark.parametrize(
    ("host", "sizes"),
    [
        ("127.0.0.1", [0, 1, 1472, 8192, 8193, 65_507]),
        ("::1", [0, 1, 1472, 8192, 8193, 65_527]),
    ],
)
def test_whole(serverOn: Server, host: str, sizes: list[int]) -> None:
    """
    Datagrams of any size come back whole, the largest and the empty too.
    """
    with asking(serverOn.port, host) as client:
        for size in sizes:
            rules.whole(client, size)


@pytest.mark.parametrize("interface", [[], ["--interface=0.0.0.0", "--interface=::"]])
def test_askedAddress(tmp_path: Path, interface: list[str]) -> None:
    """
    Bound to the wildcard, dual-stack or of one family, it answers from the
    address that was asked.
    """
    with ours(tmp_path, *interface) as server:
        for host in ("127.0.0.1", "127.0.0.2", "127.3.4.5", "::1"):
            rules.askedAddress(server.port, host)


def test_twoAddressesInTurn(server: Server) -> None:
    """
    Each reply comes from the address that its own datagram asked, not from an earlier
    one.
    """
    with asking(server.port, "127.0.0.1") as one, asking(server.port, "127.0.0.2") as two:
        for turn in range(20):
            for client in (one, two):
                client.send(b"%d" % turn)
            for client in (one, two):
                assert client.recv(10) == b"%d" % turn


def test_gonePeer(server: Server) -> None:
    """
    A peer that is gone before its reply (ICMP port unreachable) does no harm.
    """
    said = len(server.lines)
    for _ in range(100):
        with asking(server.port) as client:
            client.send(b"gone")
    with asking(server.port) as client:
        client.send(b"here")
        # It may have the port of a peer that is gone, and get the reply to that too.
        while (reply := client.recv(100)) == b"gone":
            pass
        assert reply == b"here"
    assert len(server.lines) == said


@needsRoot
def test_sourcePortZero(server: Server) -> None:
    """
    The service survives datagrams that cannot be answered, and logs them once.
    """
    said = len(server.lines)
    for number in range(1000):
        if number % 50 == 0:  # its queue holds some 270
            rules.answers(server.port)
        rules.spoofable(server.port, 0, b"nowhere")
    rules.answers(server.port)
    rules.askedAddress(server.port, "127.0.0.1")
    assert len(server.lines) <= said + 1


#: After EPERM the fast way reads as the portable one, in case it is not permitted.
ERRORS = "EAGAIN ENOBUFS ENOMEM EIO EHOSTUNREACH ENETUNREACH ECONNREFUSED EPERM"


@pytest.mark.parametrize("call", ["recvmsg", "sendmsg"])
def test_errors(tmp_path: Path, call: str) -> None:
    """
    No error of the kernel closes the port or prints a traceback.
    """
    with ours(tmp_path) as server:
        for error in ERRORS.split():
            said = len(server.lines)
            with rules.injected(server, call, error, times=3), asking(server.port) as client:
                words = [b"%s %d" % (error.encode(), number) for number in range(20)]
                assert rules.answered(client, words) >= 16, error
            rules.askedAddress(server.port, "127.0.0.1")
            told = [line for line in server.lines[said:] if "errno" in line]
            assert len(told) == (error != "EAGAIN" or call == "sendmsg"), error
