"""
Whether full segments pass, on paths that are made up.
"""

from __future__ import annotations

import socket
import struct

from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.mtu.info import Info, parsed
from echotwist.probe.mtu.path import BACK, BOTH, THERE
from echotwist.probe.mtu.result import streamResult
from echotwist.probe.mtu.stream import Flow, StreamPath
from tests.support.probing import bounded, finish


@define
class Network:
    """
    A service and the way to it, where full segments get lost.

    :param there: what the path there carries.
    :param back: and that back.
    :param most: what the two ends agree on.
    :param isTold: ICMP tells this host of the way there.
    """

    there: int = 1500
    back: int = 1500
    most: int = 1500
    isTold: bool = False
    family: int = socket.AF_INET
    count: int = 0

    async def tried(self, number: int, size: int, wait: float) -> Flow:
        """
        Make a connection.
        """
        self.count += 1
        packet = min(size or self.most, self.most)
        used = min(packet, self.there) if self.isTold else packet
        isThere, isBack = used <= self.there, packet <= self.back
        before = Info(packet - 40, packet - 40, 536, 0, 1500, 0, 65)
        lost, pmtu = 0 if isThere else 4, min(self.there, 1500) if self.isTold else 1500
        after = Info(used - 40, packet - 40, packet - 40, lost, pmtu, 0, 65)
        isWhole = isThere and isBack
        return Flow(number, size, True, isWhole, before, after, reason="" if isWhole else "late")


class StreamTests(SynchronousTestCase):
    """
    Tests for :class:`StreamPath`, and what is told of it.
    """

    def test_whole(self) -> None:
        """
        Where full segments pass one connection is enough.
        """
        network = Network()
        path = StreamPath(network)
        finish(path.measure())
        told = streamResult(path, 4)
        self.assertEqual(
            (told["mtu"], told["mss"], told["hole"], network.count), (1500, 1460, None, 1)
        )
        self.assertEqual(told["mtuThere"]["why"], "peer")

    def test_told(self) -> None:
        """
        What ICMP said to the kernel meanwhile is what passes.
        """
        path = StreamPath(Network(there=1400, isTold=True))
        finish(path.measure())
        told = streamResult(path, 4)
        self.assertEqual((told["mtu"], told["hole"]), (1400, None))
        self.assertEqual((told["mtuThere"]["least"], told["mtuThere"]["why"]), (1400, "icmp"))
        self.assertEqual((told["segments"]["agreed"], told["segments"]["used"]), (1460, 1360))

    @bounded
    @given(there=st.integers(576, 1600), back=st.integers(576, 1600))
    def test_hole(self, there: int, back: int) -> None:
        """
        A black hole is found on its side, on both if there are two: TCP acknowledges what
        arrives.
        """
        network = Network(there, back)
        path = StreamPath(network)
        finish(path.measure())
        told = streamResult(path, 4)
        assert told["mtu"] == min(there, back, 1500)
        assert network.count <= 20
        ways = (told["mtuThere"], told["mtuBack"])
        assert ways[0]["least"] <= there
        assert ways[1]["least"] <= back
        assert ways[0]["most"] is None or ways[0]["most"] >= min(there, 1500)
        assert ways[1]["most"] is None or ways[1]["most"] >= min(back, 1500)
        if there < min(back, 1500):
            assert path.hole in (THERE, BOTH)
            assert ways[0]["most"] == there
        if back < min(there, 1500):
            assert path.hole in (BACK, BOTH)
            assert ways[1]["most"] == back

    def test_refused(self) -> None:
        """
        Without a connection nothing is found.
        """

        class Refusing(Network):
            async def tried(self, number: int, size: int, wait: float) -> Flow:
                return Flow(number, size, reason="no connection")

        path = StreamPath(Refusing())
        finish(path.measure())
        told = streamResult(path, 4)
        self.assertEqual((told["mtu"], told["back"], told["segments"]), (None, 0, None))

    def test_parsed(self) -> None:
        """
        Sizes of segments are told with the options of TCP, as both ends agree on them.
        """
        said = bytearray(256)
        said[5] = 1  # Timestamps.
        for place, value in {16: 1448, 20: 1400, 24: 3, 60: 1500, 84: 1448, 100: 2}.items():
            struct.pack_into("@I", said, place, value)
        struct.pack_into("@Q", said, 120, 77)
        self.assertEqual(parsed(bytes(said)), Info(1460, 1460, 1412, 3, 1500, 2, 77))
        self.assertEqual(parsed(bytes(104)), None)
