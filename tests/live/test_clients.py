"""
The programs that people talk to an echo service with.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.live import Server, ours
from tests.support.noise import noise
from tests.support.peers import run, talking
from tests.support.rules import MIB

STREAMS = [
    ["nc", "-N", "127.0.0.1", "{port}"],
    ["nc", "-N", "::1", "{port}"],
    ["ncat", "127.0.0.1", "{port}"],
    ["socat", "-t30", "-", "TCP:127.0.0.1:{port}"],
    ["socat", "-t30", "-", "TCP6:[::1]:{port}"],
]


@pytest.mark.parametrize("client", STREAMS, ids=" ".join)
@pytest.mark.parametrize("payload", [b"hello", noise(MIB)], ids=["hello", "1 MiB"])
def test_stream(server: Server, client: list[str], payload: bytes) -> None:
    """
    A client that sends its standard input and half-closes prints all of it.
    """
    words = [word.format(port=server.port) for word in client]
    assert run(*words, say=payload) == payload


DATAGRAMS = [
    ["nc", "-u", "127.0.0.2", "{port}"],
    ["ncat", "-u", "127.0.0.2", "{port}"],
    ["socat", "-", "UDP:127.0.0.2:{port}"],
    ["socat", "-", "UDP6:[::1]:{port}"],
]


@pytest.mark.parametrize("client", DATAGRAMS, ids=" ".join)
def test_datagram(server: Server, client: list[str]) -> None:
    """
    A client prints the datagram that comes back, from the address it asked.
    """
    with talking(*(word.format(port=server.port) for word in client)) as (stdin, stdout):
        stdin.write(b"hello")
        stdin.flush()
        assert stdout.read(5) == b"hello"


@pytest.mark.parametrize(
    ("options", "said"), [([], "coucou"), (["--prefix=You said : "], "You said : coucou")]
)
def test_telnet(tmp_path: Path, options: list[str], said: str) -> None:
    """
    In telnet a person reads what they typed, with the prefix if there is one.
    """
    with (
        ours(tmp_path, *options) as server,
        talking("telnet", "127.0.0.1", str(server.port)) as (stdin, stdout),
    ):
        stdin.write(b"coucou\n")
        stdin.flush()
        lines = [stdout.readline() for _ in range(4)]
    assert lines[-1].rstrip(b"\r\n").decode() == said, lines
