"""
What is found of a path, held against paths that are made up: nothing that is said of one
may be wrong, however little can be said.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import product
from typing import Any

from attrs import Factory, define, evolve, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echotwist.probe.mtu.courier import ANSWERED, REFUSED, UNANSWERED, UNSENT, Trial
from echotwist.probe.mtu.fragmenting import How
from echotwist.probe.mtu.path import BACK, THERE, UNKNOWN, DatagramPath, ReplyTimeout
from echotwist.probe.mtu.result import datagramResult
from echotwist.probe.schedule import SECOND
from tests.support.probing import bounded, finish

#: What the network interfaces of both hosts carry.
INTERFACE = 1500


@define
class Network:
    """
    Two hosts and what is between them, which answers as Linux does.

    :param isSix: it is IPv6.
    :param there: what the path there carries.
    :param back: and that back.
    :param tells: ICMP says so to us.
    :param tellsOther: and to the other host.
    :param fragmentsThere: fragments pass on the way there.
    :param fragmentsBack: and back.
    :param canCut: this process may send fragments of any size.
    :param lost: numbers of packets that get lost.
    :param interface: what the network interface of this host carries.
    :param words: how often ICMP says so to us; routers limit that.
    :param lie: by how much what it says is wrong.
    :param isStrict: routers of IPv4 fragment nothing, but drop what is too large.
    :ivar clock: nanoseconds that were spent waiting.
    """

    isSix: bool = False
    there: int = INTERFACE
    back: int = INTERFACE
    tells: bool = True
    tellsOther: bool = True
    fragmentsThere: bool = True
    fragmentsBack: bool = True
    canCut: bool = False
    lost: frozenset[int] = frozenset()
    interface: int = INTERFACE
    words: int = 2**16
    lie: int = 0
    isStrict: bool = False
    rtt: int = SECOND // 1000
    clock: int = 0
    trials: list[Trial] = field(factory=list)
    _known: int = field(default=Factory(lambda self: self.interface, True))
    _knownOther: int = field(default=Factory(lambda self: self.interface, True))

    @property
    def family(self) -> int:
        """
        The family of the addresses.
        """
        return socket.AF_INET6 if self.isSix else socket.AF_INET

    @property
    def header(self) -> int:
        """
        Bytes of each fragment that carry nothing.
        """
        return 48 if self.isSix else 20

    def _largest(self, size: int, most: int) -> int:
        """
        Return the largest fragment of a packet; its own size if it needs none.
        """
        return size if size <= most else (most - self.header) // 8 * 8 + self.header

    def _carried(self, size: int, largest: int, isWhole: bool, mtu: int, passes: bool) -> int:
        """
        Return the largest fragment that arrives; 0 if nothing does.
        """
        if largest > mtu and (isWhole or self.isSix or self.isStrict):
            return 0
        arrived = self._largest(size, mtu) if largest > mtu else largest
        return arrived if passes or arrived == size else 0

    async def ask(self, size: int, how: How, patience: int) -> Trial:
        """
        Send a packet.
        """
        trial = Trial(len(self.trials) + 1, size, how)
        self.trials.append(trial)
        if how.isWhole and size > self.interface:
            trial.outcome, trial.mtu = UNSENT, self.interface
            return trial
        most = self._known if how.isAsTold else min(how.pieces or self.interface, self.interface)
        if self.isSix and not how.isByHand and size <= self.interface:
            most = self.interface  # Linux makes no smaller fragments of what fits.
        largest = size if how.isWhole else self._largest(size, most)
        isWhole = how.isWhole or (how.isAsTold and largest == size)
        arrived = self._carried(size, largest, isWhole, self.there, self.fragmentsThere)
        if trial.number in self.lost:
            trial.outcome = UNANSWERED
        elif arrived:
            self._reply(trial)
        elif largest > self.there and self.tells and self.words:
            told = self.there + self.lie
            self.words -= 1
            self._known = min(self._known, told)
            trial.outcome, trial.mtu = REFUSED, told
        isOver = trial.outcome != UNANSWERED
        self.clock += self.rtt if isOver else patience
        trial.took = self.rtt if isOver else None
        return trial

    def _reply(self, trial: Trial) -> None:
        size = trial.size
        largest = self._largest(size, self._knownOther)
        isWhole = largest == size
        arrived = self._carried(size, largest, isWhole, self.back, self.fragmentsBack)
        if arrived:
            trial.outcome, trial.returned = ANSWERED, size
            trial.pieces = 0 if arrived == size else arrived
        elif largest > self.back and self.tellsOther:
            self._knownOther = self.back


@define
class SlowLink(Network):
    """
    One that takes its time for each byte: packets queue, and replies come late.

    :param each: nanoseconds for a byte, there and back.
    """

    each: int = 0
    late: Callable[[Trial], None] = lambda trial: None
    _busy: int = 0
    _waiting: list[tuple[int, Trial]] = field(factory=list)

    async def ask(self, size: int, how: How, patience: int) -> Trial:
        """
        Send a packet, and wait.
        """
        began, spent = self.clock, self.clock + patience
        trial = await super().ask(size, how, patience)
        if trial.outcome != ANSWERED:
            self._advance(self.clock)
            return trial
        self._busy = max(began, self._busy) + self.each * size + self.rtt
        if self._busy <= spent:
            trial.took = self._busy - began
            self._advance(self._busy)
            return trial
        self._waiting.append((self._busy, evolve(trial, took=self._busy - began, isLate=True)))
        trial.outcome, trial.took = UNANSWERED, None
        self._advance(spent)
        return trial

    def _advance(self, now: int) -> None:
        self.clock = now
        while self._waiting and self._waiting[0][0] <= now:
            self.late(self._waiting.pop(0)[1])


def measured(network: Network, tries: int = 3) -> tuple[DatagramPath, dict[str, Any]]:
    """
    Find out what a network carries.
    """
    path = DatagramPath(network, tries, 2 * SECOND)
    if isinstance(network, SlowLink):
        network.late = path.heard
    finish(path.measure())
    return path, datagramResult(path, network.trials, 6 if network.isSix else 4)


networks = st.builds(
    Network,
    isSix=st.booleans(),
    there=st.integers(1280, INTERFACE),
    back=st.integers(1280, INTERFACE),
    tells=st.booleans(),
    tellsOther=st.booleans(),
    fragmentsThere=st.booleans(),
    fragmentsBack=st.booleans(),
    canCut=st.booleans(),
)


class PathTests(SynchronousTestCase):
    """
    Tests for :class:`DatagramPath`, and what is told of it.
    """

    @bounded
    @given(networks)
    def test_true(self, network: Network) -> None:
        """
        What is said of any path is true.
        """
        path, told = measured(network)
        there, back, fragments = told["mtuThere"], told["mtuBack"], told["fragments"]
        assert there["least"] <= network.there <= (there["most"] or INTERFACE), there
        assert back["least"] <= network.back, back
        if back["most"] is not None:
            assert back["most"] >= network.back, back
        assert (fragments["there"], network.fragmentsThere) not in ((True, False), (False, True))
        assert (fragments["back"], network.fragmentsBack) not in ((True, False), (False, True))
        if not network.isSix and network.there < INTERFACE:
            isLike = fragments["router"] in (None, network.fragmentsThere)
            assert isLike, fragments
        if path.hole == THERE:
            assert network.there == path.search.passed
            assert not network.tells
        if path.hole == BACK:
            assert network.back == path.search.passed
            assert not network.tellsOther or not network.fragmentsBack

    @bounded
    @given(networks)
    def test_whole(self, network: Network) -> None:
        """
        With ICMP and fragments each way is known to the byte.
        """
        path, told = measured(
            evolve(network, tells=True, tellsOther=True, fragmentsThere=True, fragmentsBack=True)
        )
        assert told["mtuThere"]["least"] == told["mtuThere"]["most"] == network.there
        if network.back < network.there:
            assert told["mtuBack"]["least"] == told["mtuBack"]["most"] == network.back
        assert told["mtu"] == min(network.there, told["mtuBack"]["least"])
        assert (path.hole, told["fragments"]["lost"]) == (None, 0)
        assert (told["fragments"]["there"], told["fragments"]["back"]) == (True, True)

    def test_icmp(self) -> None:
        """
        With ICMP few packets are enough, and nobody waits.
        """
        for isSix, (there, back) in product((False, True), ((1400, 1300), (1492, 1492))):
            network = Network(isSix=isSix, there=there, back=back)
            _, told = measured(network)
            assert told["mtuThere"]["least"] == there
            assert told["sent"] <= 11
            # One reply is lost, as the other host does not know yet how large it may be.
            assert network.clock < SECOND // 50

    def test_hole(self) -> None:
        """
        Through a black hole a few more are, and the whole of it takes less than 3 seconds;
        its side is known.
        """
        for isSix in (False, True):
            for there, back, side in ((1400, 1500, THERE), (1500, 1400, BACK)):
                network = Network(isSix, there, back, False, False, canCut=True)
                path, told = measured(network)
                assert (told["mtu"], path.hole) == (1400, side)
                assert told["sent"] <= 28
                assert network.clock < 3 * SECOND

    def test_nothing(self) -> None:
        """
        Where fragments do not pass either, nobody can say on which side of IPv4 it is.
        """
        network = Network(
            there=1400, tells=False, tellsOther=False, fragmentsThere=False, fragmentsBack=False
        )
        path, told = measured(network)
        assert (told["mtu"], path.hole, path.fragmentsThere) == (1400, UNKNOWN, None)
        assert told["mtuThere"]["most"] is None
        assert any("which gets lost, the probe or its reply" in one for one in told["cannotTell"])

    @bounded
    @given(networks, st.frozensets(st.integers(2, 40), max_size=2))
    def test_lossy(self, network: Network, lost: frozenset[int]) -> None:
        """
        Two packets that get lost, whichever, change nothing of what is found of the way
        there.
        """
        _, told = measured(network)
        _, again = measured(evolve(network, lost=lost, trials=[]))
        assert again["mtuThere"]["least"] == told["mtuThere"]["least"]

    def test_limited(self) -> None:
        """
        A router that limits how often it says so has said it once: that is the MTU of the
        way there, although a black hole on the way back hides the rest.
        """
        network = Network(there=1400, back=1400, tellsOther=False, words=1, canCut=True)
        path, told = measured(network)
        there = told["mtuThere"]
        assert (path.hole, told["mtu"]) == (BACK, 1400)
        assert (there["least"], there["most"], there["why"]) == (1400, 1400, "icmp")
        assert not any("on the way there" in one for one in told["cannotTell"])

    @bounded
    @given(st.integers(1281, 1480), st.integers(-700, 700))
    def test_lie(self, there: int, lie: int) -> None:
        """
        Where ICMP says a wrong size the right one is found, and nothing wrong is said of
        fragments, though the kernel makes them as large as ICMP says.
        """
        network = Network(there=there, lie=lie, isStrict=True, canCut=True)
        path, told = measured(network)
        assert (told["mtuThere"]["least"], told["mtuThere"]["most"]) == (there, there)
        assert (path.fragmentsThere, path.fragmentsBack, path.router) == (True, True, False)

    def test_common(self) -> None:
        """
        Of jumbo frames a black hole for more than Ethernet's usual size costs little: one
        byte more is tried next.
        """
        network = Network(there=1500, tells=False, canCut=True, interface=9000)
        path, told = measured(network)
        assert (told["mtu"], path.hole) == (1500, THERE)
        assert told["unanswered"] <= 6

    @bounded
    @given(st.integers(1280, INTERFACE), st.booleans(), st.integers(0, SECOND // 4000))
    def test_slow(self, there: int, tells: bool, each: int) -> None:
        """
        A thin link, on which large packets take many times as long as the first one, is
        not taken for a narrow one: it may take a quarter of a millisecond for a byte.
        """
        _, told = measured(SlowLink(there=there, tells=tells, each=each))
        assert told["mtuThere"]["least"] == there, told["mtuThere"]

    def test_narrow(self) -> None:
        """
        A path of IPv6 that carries less than it must is found; no fragments are tried there.
        """
        _, told = measured(Network(isSix=True, there=1000, tells=False))
        assert told["mtu"] == 1000
        assert told["fragments"]["there"] is None


class ReplyTimeoutTests(SynchronousTestCase):
    """
    Tests for :class:`ReplyTimeout`.
    """

    def test_grows(self) -> None:
        """
        It is all the time there is until a reply came, then some round trips.
        """
        timeout = ReplyTimeout(2 * SECOND)
        self.assertEqual(timeout.nanoseconds, 2 * SECOND)
        timeout.took(SECOND // 1000)
        self.assertEqual(timeout.nanoseconds, SECOND // 10)
        timeout.took(SECOND // 5)
        self.assertEqual(timeout.nanoseconds, 4 * SECOND // 5)
        timeout.took(SECOND)
        self.assertEqual(timeout.nanoseconds, 2 * SECOND)

    def test_soon(self) -> None:
        """
        What is sent again at once is waited for as long as two round trips take.
        """
        timeout = ReplyTimeout(2 * SECOND)
        self.assertEqual(timeout.soon, 2 * SECOND)
        timeout.took(SECOND // 10000)
        self.assertEqual(timeout.soon, SECOND // 200)
        timeout.took(SECOND // 10)
        self.assertEqual(timeout.soon, SECOND // 5)
