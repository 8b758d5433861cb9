"""
A UDP socket that several targets share.
"""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from echotwist.probe import kernel
from echotwist.probe.payload import Payload
from echotwist.probe.watch.sharing import Lane, SharedDatagrams
from echotwist.probe.watch.wheel import Wheel
from tests.support.alarm import Alarm

pytestmark = [
    pytest.mark.oneWay,
    pytest.mark.skipif(not kernel.IS_LINUX, reason="needs the kernel's timestamps"),
]


def test_stamps() -> None:
    """
    Timestamps of the latest probes are known, those of earlier ones are not taken for them;
    nothing is kept of a probe once it has its timestamp.
    """
    reactor: Any = SimpleNamespace(addReader=lambda one: None, removeReader=lambda one: None)
    reactor.removeWriter = reactor.removeReader
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setblocking(False)
        shared = SharedDatagrams(reactor, one, Wheel(lambda ring: Alarm()))
        lane = Lane(shared, other.getsockname(), 8, lambda one: None)
        payload = Payload(b"", 64)
        for number in range(1, 101):
            assert lane.send(number, payload.make(number, 0)) == ""
        left = [lane.leftAt(number) for number in range(1, 101)]
        shared.stop()
    assert left[:92] == [0] * 92
    assert left[92:] == sorted(left[92:])
    assert all(left[92:])
    assert not shared._sent
