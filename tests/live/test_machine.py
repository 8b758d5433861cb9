"""
Clients that do anything, in any order.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
)

from tests.support.live import Server, ours
from tests.support.streams import connected

_server: Server | None = None


class Client:
    """
    One connection, and what is known of it.
    """

    def __init__(self, port: int) -> None:
        self.stream = connected(port)
        self.stream.setblocking(False)
        self.sent = bytearray()
        self.got = bytearray()
        self.ended = False

    def send(self, data: bytes) -> None:
        """
        Offer some bytes; the kernel takes what it can.
        """
        try:
            self.sent += data[: self.stream.send(data)]
        except BlockingIOError:
            return

    def read(self, size: int) -> None:
        """
        Take what is there.
        """
        try:
            data = self.stream.recv(size)
        except BlockingIOError:
            return
        self.got += data
        self.ended = self.ended or not data

    def end(self) -> None:
        """
        Say that there will be no more, and take everything.
        """
        self.stream.shutdown(socket.SHUT_WR)
        self.stream.settimeout(60)
        while not self.ended:
            self.read(2**20)
        assert self.got == self.sent
        self.stream.close()


class Clients(RuleBasedStateMachine):
    """
    What comes back is always a prefix of what was sent, and all of it after a
    half-close.
    """

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Client] = []

    @rule(target=clients)
    def connect(self) -> Client:
        """
        A client connects.
        """
        assert _server is not None
        client = Client(_server.port)
        self.open.append(client)
        return client

    @rule(
        client=clients,
        size=st.sampled_from([1, 2, 1000, 65_536, 65_537, 10**6, 4 * 10**6]),
        seed=st.integers(0, 2**16),
    )
    def send(self, client: Client, size: int, seed: int) -> None:
        """
        A client sends.
        """
        client.send(random.Random(seed).randbytes(size))

    @rule(client=clients, size=st.sampled_from([1, 1000, 65_536, 10**6]))
    def read(self, client: Client, size: int) -> None:
        """
        A client reads; between two reads it pauses.
        """
        client.read(size)

    @rule(client=consumes(clients))
    def halfClose(self, client: Client) -> None:
        """
        A client half-closes, and reads to the end.
        """
        client.end()
        self.open.remove(client)

    @rule(client=consumes(clients))
    def reset(self, client: Client) -> None:
        """
        A client resets its connection.
        """
        client.stream.reset()
        self.open.remove(client)

    @invariant()
    def prefix(self) -> None:
        """
        Nothing was altered, nothing invented, nothing ended early.
        """
        for client in self.open:
            assert client.sent.startswith(client.got)
            assert not client.ended

    def teardown(self) -> None:
        """
        All that was sent comes back in the end.
        """
        for client in self.open:
            client.end()


def test_clients(tmp_path: Path) -> None:
    """
    Run the clients against a live service.
    """
    from hypothesis.stateful import run_state_machine_as_test

    global _server
    with ours(tmp_path) as _server:
        run_state_machine_as_test(
            Clients, settings=settings(deadline=None, max_examples=50, stateful_step_count=30)
        )
