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
def test_whole(tmp_path: Path, reactorName: str, host: str, sizes: list[int]) -> None:
    """
    Datagrams of any size come back whole, the largest and the empty too.
    """
    with ours(tmp_path, reactor=reactorName) as server, asking(server.port, host) as client:
        for size in sizes:
            rules.whole(client, size)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.3.4.5", "::1"])
@pytest.mark.parametrize("interface", [[], ["--interface=0.0.0.0", "--interface=::"]])
def test_askedAddress(tmp_path: Path, host: str, interface: list[str]) -> None:
    """
    Bound to the wildcard, dual-stack or of one family, it answers from the
    address that was asked.
    """
    with ours(tmp_path, *interface) as server:
        rules.askedAddress(server.port, host)


def test_twoAddressesInTurn(server: Server) -> None:
    """
    Each reply bears its own datagram's address, not an earlier one's.
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
    for _ in range(100):
        with asking(server.port) as client:
            client.send(b"gone")
    rules.askedAddress(server.port, "127.0.0.1")
    assert "failed" not in server.log


@needsRoot
def test_sourcePortZero(server: Server) -> None:
    """
    Datagrams that cannot be answered are survived, and told of once.
    """
    for number in range(1000):
        if number % 50 == 0:  # its queue holds some 270
            rules.answers(server.port)
        rules.spoofable(server.port, 0, b"nowhere")
    rules.answers(server.port)
    rules.askedAddress(server.port, "127.0.0.1")
    assert len([line for line in server.lines if "failed" in line]) <= 1


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (call, error)
        for call in ("recvmsg", "sendmsg")
        for error in (
            "EAGAIN",
            "ENOBUFS",
            "ENOMEM",
            "EPERM",
            "EIO",
            "EHOSTUNREACH",
            "ENETUNREACH",
            "ECONNREFUSED",
        )
    ],
)
def test_errors(server: Server, call: str, error: str) -> None:
    """
    No error of the kernel closes the port or prints a traceback.
    """
    with rules.injected(server, call, error, times=3), asking(server.port) as client:
        assert rules.answered(client, [b"%d" % number for number in range(20)]) >= 16
    rules.askedAddress(server.port, "127.0.0.1")
    told = [line for line in server.lines if "errno" in line]
    assert len(told) == (error != "EAGAIN" or call == "sendmsg")
