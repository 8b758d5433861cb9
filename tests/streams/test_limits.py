"""
Which connections a stream echo serves, and how long.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echotwist.settings import Settings
from echotwist.sockets.access import Access
from echotwist.streams import factory as factoryModule
from echotwist.streams.counted import CountedEcho
from echotwist.streams.factory import DRAIN_QUIET, EchoFactory
from echotwist.streams.limits import Limits
from echotwist.streams.timeouts import CHECKS, InactivityTimeout


class LimitsTests(SynchronousTestCase):
    """
    Tests for :class:`Limits`.
    """

    def test_none(self) -> None:
        """
        Without limits every peer is served.
        """
        limits = Limits()
        for _ in range(1000):
            self.assertEqual(limits.refusal("192.0.2.1"), "")
            limits.opened("192.0.2.1")

    def test_all(self) -> None:
        """
        There are so many at a time.
        """
        limits = Limits(most=2)
        limits.opened("192.0.2.1")
        self.assertEqual(limits.refusal("192.0.2.2"), "")
        limits.opened("192.0.2.2")
        self.assertEqual(limits.refusal("192.0.2.3"), "too many connections")
        limits.closed("192.0.2.1")
        self.assertEqual(limits.refusal("192.0.2.3"), "")

    def test_perPeer(self) -> None:
        """
        One peer has so many, under all of its addresses.
        """
        for one, same, other in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"),
            ("fe80::1%lo", "fe80::1%lo", "fe80::2%lo"),
            ("fe80::1%lo", "fe80::1%lo", "fe80::1%eth0"),
            ("64:ff9b::192.0.2.1", "192.0.2.1", "64:ff9b::192.0.2.2"),
        ]:
            limits = Limits(mostPerPeer=1)
            limits.opened(one)
            self.assertEqual(limits.refusal(same), "too many connections of one peer")
            self.assertEqual(limits.refusal(other), "")
            limits.closed(same)
            self.assertEqual(limits.refusal(one), "")
            self.assertEqual(len(limits._ofPeer), 0)

    def test_access(self) -> None:
        """
        A peer that is not allowed is refused as such, whatever the number of
        connections; a peer without a known address is not checked.
        """
        limits = Limits(most=1, access=Access(["192.0.2.0/24"]))
        for _ in range(2):
            self.assertEqual(limits.refusal("198.51.100.1"), "not allowed")
            self.assertEqual(limits.refusal("::1"), "not allowed")
            limits.opened("192.0.2.1")
        for host in ("192.0.2.1", "::ffff:192.0.2.1", None, ""):
            self.assertEqual(limits.refusal(host), "too many connections")


class InactivityTimeoutTests(SynchronousTestCase):
    """
    Tests for :class:`InactivityTimeout`.
    """

    def timeout(self, clock: Clock) -> InactivityTimeout[str]:
        """
        Make one of five seconds.
        """
        return InactivityTimeout(5, dict, self.fail, clock, lambda: False)

    @given(
        strategies.lists(strategies.tuples(strategies.floats(0.1, 3), strategies.integers(-1, 1)))
    )
    def test_moves(self, steps: list[tuple[float, int]]) -> None:
        """
        A connection without progress for so long is ended; a step back is no progress.
        """
        clock, mark, still = Clock(), 0, 0.0
        timeout = self.timeout(clock)
        timeout.expired({"a": mark})
        for seconds, move in steps:
            clock.advance(seconds)
            mark += move
            still = 0.0 if move > 0 else still + seconds
            since = clock.seconds() - still
            self.assertEqual(timeout.expired({"a": mark}) == ["a"], clock.seconds() - since >= 5)

    def test_forget(self) -> None:
        """
        A connection that is gone is forgotten at once.
        """
        timeout = self.timeout(Clock())
        timeout.expired({"a": 0})
        timeout.forget("a")
        timeout.forget("a")
        self.assertEqual(len(timeout._seen), 0)

    def test_forgets(self) -> None:
        """
        A connection that is not watched any more is forgotten.
        """
        clock = Clock()
        timeout = self.timeout(clock)
        timeout.expired({"a": 0})
        timeout.expired({})
        clock.advance(10)
        self.assertEqual(timeout.expired({"a": 0}), [])

    def test_rests(self) -> None:
        """
        It wakes the process only while there is a connection to watch.
        """
        clock, watched, ended = Clock(), {"a": 0}, list[str]()
        timeout: InactivityTimeout[str] = InactivityTimeout(
            8, lambda: watched, ended.append, clock, lambda: bool(watched)
        )
        timeout.start()
        timeout.start()
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        clock.pump([8 / CHECKS] * (CHECKS + 1))
        self.assertEqual(ended, ["a"])
        watched.clear()
        clock.advance(8)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_never(self) -> None:
        """
        With no time it never wakes.
        """
        clock = Clock()
        InactivityTimeout(0, lambda: {"a": 0}, self.fail, clock, lambda: True).start()
        self.assertEqual(clock.getDelayedCalls(), [])


class WatchedTransport(StringTransport):
    """
    A transport that ends at once.
    """

    echo: CountedEcho

    def loseConnection(self) -> None:
        """
        End.
        """
        super().loseConnection()
        self.echo.connectionLost(Failure(ConnectionDone()))

    abortConnection = loseConnection


class FactoryTests(SynchronousTestCase):
    """
    Tests for how :class:`EchoFactory` applies the limits.
    """

    peer = IPv4Address("TCP", "192.0.2.1", 4567)

    def setUp(self) -> None:
        """
        Start the clock.
        """
        self.clock = Clock()

    def connect(self, factory: EchoFactory) -> CountedEcho | None:
        """
        Connect an echo of a factory's.
        """
        echo = factory.buildProtocol(self.peer)
        if echo is not None:
            transport: Any = WatchedTransport(peerAddress=self.peer)
            transport.echo = echo
            echo.makeConnection(transport)
        return echo

    def factory(self, **options: Any) -> EchoFactory:
        """
        Make a factory.
        """
        return EchoFactory(reactor=self.clock, **options)

    def test_limit(self) -> None:
        """
        A connection over a limit gets no protocol, and is counted.
        """
        factory = self.factory(limits=Limits(1))
        first = self.connect(factory)
        assert first is not None
        self.assertIsNone(self.connect(factory))
        self.assertEqual(factory.counters.refused["too many connections"], 1)
        self.assertEqual((factory.counters.connections, factory.counters.active), (1, 1))
        first.finish()
        self.assertIsNotNone(self.connect(factory))
        self.assertEqual((factory.counters.connections, factory.counters.active), (2, 1))

    def test_idle(self) -> None:
        """
        A silent connection ends after its time, and one that speaks does not.
        """
        factory = self.factory(idleTimeout=8)
        self.connect(factory)
        speaker = self.connect(factory)
        assert speaker is not None
        for _ in range(20):
            speaker.dataReceived(b"x")
            self.clock.advance(1)
        self.assertEqual((factory.counters.idle, factory.counters.active), (1, 1))

    def stalling(self, **options: Any) -> tuple[EchoFactory, CountedEcho, list[int]]:
        """
        Connect to a factory with the default limit on stalls.

        :return: it, the echo, and how many bytes wait for the peer, to be changed.
        """
        waiting = [0]
        self.patch(factoryModule, "unsent", lambda _: waiting[0])
        factory = self.factory(stallTimeout=Settings().stallTimeout, **options)
        echo = self.connect(factory)
        assert echo is not None
        return factory, echo, waiting

    def test_slow(self) -> None:
        """
        A peer that takes 1,000 bytes a second is kept by default, although kernels
        report them in steps of half a megabyte.
        """
        factory, echo, waiting = self.stalling()
        echo.dataReceived(bytes(10_000_000))
        waiting[0] = 10_000_000
        for second in range(10_000):
            self.clock.advance(1)
            if second % 524 == 523:
                waiting[0] -= 524_000
        self.assertEqual((factory.counters.stalled, factory.counters.active), (0, 1))

    def test_stall(self) -> None:
        """
        A peer that takes nothing is reset, also if it sends a byte now and then; each
        such byte may take a kilobyte of the kernel's.
        """
        for prefix in (b"", b"You said : "):
            for kept in (0, 1, 768):
                factory, echo, waiting = self.stalling(prefix=prefix)
                echo.dataReceived(b"x")
                waiting[0] = 100_000
                for _ in range(int(1.3 * Settings().stallTimeout)):
                    if kept and factory.counters.active:
                        sent = echo.sent
                        echo.dataReceived(b"x")
                        waiting[0] += max(echo.sent - sent, kept)
                    self.clock.advance(1)
                self.assertEqual((factory.counters.stalled, factory.counters.active), (1, 0))

    def test_tinyMessages(self) -> None:
        """
        A peer that takes messages of a byte, each of which takes a kilobyte of the
        kernel's, is kept, even while more and more of them wait.
        """
        factory, echo, waiting = self.stalling()
        for second in range(10_000):
            for _ in range(100):
                echo.dataReceived(b"x")
            waiting[0] = 768 * (100 + second % 100)
            self.clock.advance(1)
        self.assertEqual((factory.counters.stalled, factory.counters.active), (0, 1))

    def test_drain(self) -> None:
        """
        When the service stops a connection goes on until it is quiet.
        """
        factory = self.factory()
        self.connect(factory)
        speaker = self.connect(factory)
        assert speaker is not None
        drained = factory.drain(10)
        for _ in range(20):
            speaker.dataReceived(b"x")
            self.clock.advance(DRAIN_QUIET / CHECKS)
        self.assertEqual(factory.counters.active, 1)
        self.assertNoResult(drained)
        self.clock.pump([DRAIN_QUIET / CHECKS] * (CHECKS + 2))
        self.successResultOf(drained)
        self.assertEqual(factory.counters.drained, 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drainEnds(self) -> None:
        """
        It does not go on for longer than that.
        """
        factory = self.factory()
        speaker = self.connect(factory)
        assert speaker is not None
        drained = factory.drain(1)
        for _ in range(8):
            self.assertNoResult(drained)
            speaker.dataReceived(b"x")
            self.clock.advance(0.125)
        self.successResultOf(drained)

    def test_drainTwice(self) -> None:
        """
        A second call during a drain waits for the same end.
        """
        factory = self.factory()
        speaker = self.connect(factory)
        assert speaker is not None
        drains = [factory.drain(10), factory.drain(10)]
        speaker.finish()
        for drained in drains:
            self.successResultOf(drained)

    def test_drainOfNobody(self) -> None:
        """
        With no connection it is done at once.
        """
        self.successResultOf(self.factory().drain(10))
