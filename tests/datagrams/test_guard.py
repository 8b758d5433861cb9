"""
Which datagrams an echo answers.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, NamedTuple

from hypothesis import given, settings, strategies
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from echotwist.datagrams.guard import Guard, IDatagramGuard, LocalGuard, RawGuard, UnixGuard
from echotwist.datagrams.loops import ENTRIES, LOCAL_LOOP_DATAGRAMS, LOOP_DATAGRAMS, Recent
from echotwist.listening.ports import Ports
from echotwist.settings import Settings
from echotwist.sockets.access import Access
from echotwist.sockets.addresses import peerNetwork
from echotwist.telemetry.refusals import remediesOf
from echotwist.values import rulesOf, socketsOf

DAY = 24 * 3600

#: Datagrams that show what a guard does in the long run: what it knows of a source
#: repeats itself after 9,200.
SAMPLE = 20_000

PEER = ("192.0.2.1", 4567)

ADDRESSES = strategies.one_of(
    strategies.ip_addresses(v=4).map(str), strategies.ip_addresses(v=6).map(str)
)


class Count(NamedTuple):
    """
    How many datagrams were sent, and how many were refused.
    """

    asked: int
    refused: int


class GuardTests(SynchronousTestCase):
    """
    Tests for :class:`Guard`, under a clock that the tests turn.
    """

    def setUp(self) -> None:
        """
        Start the clock.
        """
        self.clock = Clock()
        self.number = 0

    def guard(self, **options: Any) -> Guard:
        """
        Make a guard.
        """
        return Guard([1234], clock=self.clock.seconds, **options)

    def refusal(self, guard: Guard, source: tuple[Any, ...] = PEER, toGroup: bool = False) -> str:
        """
        Ask about a datagram that is unlike all before.
        """
        self.number += 1
        return guard.refusal(source, toGroup, b"%d" % self.number)

    def test_ports(self) -> None:
        """
        Ports that no client has are never answered.
        """
        for port, reason in [
            (0, "source port 0"),
            (1, "low source port"),
            (1023, "low source port"),
            (1024, ""),
            (1234, "own port as source"),
            (65535, ""),
        ]:
            self.assertEqual(self.refusal(self.guard(), ("192.0.2.1", port)), reason)
            self.assertEqual(self.refusal(self.guard(), ("127.0.0.1", port)), reason)

    def test_answerLowPorts(self) -> None:
        """
        Low ports may be allowed; 0 and our own never.
        """
        guard = self.guard(answerLowPorts=True)
        self.assertEqual(self.refusal(guard, ("192.0.2.1", 1)), "")
        self.assertEqual(self.refusal(guard, ("192.0.2.1", 0)), "source port 0")
        self.assertEqual(self.refusal(guard, ("192.0.2.1", 1234)), "own port as source")

    def test_sources(self) -> None:
        """
        Addresses that no host has are never answered, mapped or not.
        """
        for host, answered in [
            ("0.0.0.0", False),
            ("0.1.2.3", False),
            ("1.0.0.0", True),
            ("223.255.255.255", True),
            ("224.0.0.1", False),
            ("239.255.255.255", False),
            ("240.0.0.1", False),
            ("255.255.255.255", False),
            ("::ffff:255.255.255.255", False),
            ("::ffff:224.0.0.1", False),
            ("::ffff:0.0.0.0", False),
            ("::ffff:192.0.2.1", True),
            ("::", False),
            ("::1", True),
            ("ff02::1", False),
            ("fe80::1%lo", True),
            ("2001:db8::1", True),
        ]:
            self.assertEqual(self.refusal(self.guard(), (host, 4567)) == "", answered, host)

    def test_group(self) -> None:
        """
        A datagram to a group is never answered.
        """
        self.assertEqual(self.refusal(self.guard(), toGroup=True), "multicast or broadcast")

    def answered(self, guard: Guard, times: int, host: str = "192.0.2.1") -> int:
        """
        Count the answers to so many datagrams, each from another port.
        """
        return sum(
            not self.refusal(guard, (host, 2000 + number % 60_000)) for number in range(times)
        )

    def test_rate(self) -> None:
        """
        A source has a second's replies at once, and then its rate.
        """
        guard = self.guard(rate=100)
        self.assertEqual(self.answered(guard, 1000), 100)
        self.clock.advance(0.5)
        self.assertEqual(self.answered(guard, 1000), 50)
        self.clock.advance(10)
        self.assertEqual(self.answered(guard, 1000), 100)

    def test_rateOfOthers(self) -> None:
        """
        A source that asks too much does not harm others, except those that can be the
        same host: a /64.
        """
        guard = self.guard(rate=100)
        for busy, other, left in [
            ("192.0.2.1", "192.0.2.2", 100),
            ("2001:db8::1", "2001:db8::ffff", 0),
            ("2001:db8:1::1", "2001:db8:1:1::1", 100),
            ("198.51.100.1", "::ffff:198.51.100.1", 0),
        ]:
            self.answered(guard, 1000, busy)
            self.assertEqual(self.answered(guard, 1000, other), left)

    def test_access(self) -> None:
        """
        A source that is not allowed is refused, on loopback too, and uses up no other's
        rate; but an address that no host can have is refused as such.
        """
        guard = self.guard(rate=100, access=Access(["127.0.0.1", "2001:db8::/32"], ["2001:db8::1"]))
        for host, reason in [
            ("127.0.0.1", ""),
            ("127.0.0.9", "not allowed"),
            ("::ffff:127.0.0.1", ""),
            ("::1", "not allowed"),
            ("192.0.2.1", "not allowed"),
            ("0.1.2.3", "source is no host"),
            ("ff02::1", "source is a group"),
        ]:
            self.assertEqual(self.refusal(guard, (host, 4567)), reason, host)
            isTrusted = host.endswith("127.0.0.1")
            self.assertEqual(guard.trusts((host, 4567)), isTrusted, host)
        self.assertEqual(self.refusal(guard, ("fe80::1", 4567, 0, 2)), "not allowed")
        self.assertEqual(self.refusal(guard, toGroup=True), "multicast or broadcast")
        self.assertEqual(self.answered(guard, 1000, "2001:db8::1"), 0)
        self.assertEqual(self.answered(guard, 1000, "2001:db8::2"), 100)

    def test_noRate(self) -> None:
        """
        Loopback has no rate, as nothing from the wire can have its addresses; with a
        rate of 0 no source has one.
        """
        for host in ("127.0.0.1", "127.3.4.5", "::1", "::ffff:127.0.0.1"):
            self.assertEqual(self.answered(self.guard(rate=1), 100, host), 100)
        self.assertEqual(self.answered(self.guard(rate=0), 20_000), 20_000)

    @given(
        strategies.integers(1, 50),
        strategies.lists(strategies.tuples(strategies.floats(0, 2), strategies.integers(0, 100))),
    )
    def test_anyRate(self, rate: int, bursts: list[tuple[float, int]]) -> None:
        """
        Whatever the bursts, no source gets more than the rate and one second's worth.
        """
        guard, seconds, got = self.guard(rate=rate), 0.0, 0
        for pause, times in bursts:
            self.clock.advance(pause)
            seconds += pause
            got += self.answered(guard, times)
            self.assertLessEqual(got, rate * (seconds + 1) + 1)

    def test_flood(self) -> None:
        """
        However many sources there are, the tables stay small, and a client from before
        gets all replies.
        """
        guard = self.guard(rate=100)
        old = ("203.0.113.1", 5000)
        for number in range(10 * ENTRIES):
            source = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 4567)
            self.refusal(guard, source)
            if number % 1000 == 0:
                self.clock.advance(0.01)
                self.assertEqual(self.refusal(guard, old), "")
        tables: list[Recent[Any]] = [guard._busyUntil, guard._loops._known, guard._loops._sources]
        for table in tables:
            self.assertLessEqual(len(table._new), ENTRIES)
            self.assertLessEqual(len(table._old), ENTRIES)

    def test_floodDoesNotHide(self) -> None:
        """
        The flood does not make the guard forget a source that asks too much.
        """
        guard, got = self.guard(rate=100), 0
        for number in range(10 * ENTRIES):
            self.refusal(guard, (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 4567))
            if number % 10 == 0:
                got += not self.refusal(guard)
        self.assertEqual(got, 100)

    def ask(
        self, guard: Guard, payloads: int, interval: float, burst: int, seconds: float
    ) -> Count:
        """
        Ask from one port with so many payloads in turn, in bursts of so many.

        :param interval: from one datagram to the next, on average.
        :return: how often, and how many were refused.
        """
        asked, refused, end = 0, 0, self.clock.seconds() + seconds
        while self.clock.seconds() < end and asked < SAMPLE:
            for _ in range(burst):
                refused += bool(guard.refusal(PEER, False, b"%d" % (asked % payloads)))
                asked += 1
            self.clock.advance(interval * burst)
        return Count(asked, refused)

    def test_sameDatagrams(self) -> None:
        """
        A client that sends the same bytes at the rate at most misses no reply, at any
        interval, with any number of payloads, all at once or one by one.
        """
        for interval in (0.01, 0.0101, 0.1, 1, 2, 5, 7, 9.99, 10.01, 60, 600):
            for payloads, burst in [(1, 1), (50, 1), (5000, 1), (1, max(1, int(1 / interval)))]:
                _, refused = self.ask(self.guard(rate=0), payloads, interval, burst, DAY)
                self.assertEqual(refused, 0, (interval, payloads, burst))

    @settings(max_examples=20, deadline=None)
    @given(strategies.floats(0.01, 600), strategies.integers(1, 1_000_000))
    def test_anyInterval(self, interval: float, rate: int) -> None:
        """
        So it is at any rate and any interval.
        """
        guard = self.guard(rate=0, loopRate=rate)
        asked, refused = self.ask(guard, 1, max(interval, 1 / rate), 1, DAY)
        self.assertEqual((asked > 100, refused), (True, 0))

    def test_wholeDay(self) -> None:
        """
        So it is at the rate itself, for 24 hours: no error of rounding adds up.
        """
        guard, start, refused = self.guard(rate=0, loopRate=10), 1e7, 0
        for number in range(DAY * 10):
            self.clock.rightNow = start + number / 10
            refused += bool(guard.refusal(PEER, False, b"ping"))
        self.assertEqual(refused, 0)

    def test_stalledNetwork(self) -> None:
        """
        So it is when the network stalls for seconds, and then delivers all at once.
        """
        guard = self.guard(rate=0)
        for _ in range(50):
            self.assertEqual(self.ask(guard, 1, 0.01, 1, 15).refused, 0)
            self.clock.advance(5)
            self.assertEqual(self.ask(guard, 1, 0.0002, 500, 0.1).refused, 0)

    @settings(max_examples=20, deadline=None)
    @given(
        strategies.floats(0.00001, 0.00999),
        strategies.sampled_from([1, 2, 3, 50, 1000]),
        strategies.sampled_from([1, 10, 100]),
    )
    def test_fastClient(self, interval: float, payloads: int, burst: int) -> None:
        """
        A client that repeats itself faster misses one reply in 9,000 at the most.
        """
        guard = self.guard(rate=0)
        asked, refused = self.ask(guard, payloads, interval, burst, DAY)
        self.assertEqual(asked, SAMPLE)
        self.assertLessEqual(refused, asked / 9000 + 1)

    def test_fastNow(self) -> None:
        """
        So it does when it is fast for some seconds only, time and again.
        """
        guard, asked, refused = self.guard(rate=0), 0, 0
        for _ in range(30):
            count = self.ask(guard, 1, 0.004, 1, 9)
            asked, refused = asked + count.asked, refused + count.refused
            self.clock.advance(120)
        self.assertLessEqual(refused, asked / 9000 + 1)

    def test_fastAtRandom(self) -> None:
        """
        So it does when its payloads come in no order.
        """
        guard, chosen, refused = self.guard(rate=0), random.Random(1), 0
        for _ in range(SAMPLE):
            payload = b"%d" % chosen.randrange(50)
            refused += bool(guard.refusal(PEER, False, payload))
            self.clock.advance(0.001)
        self.assertLessEqual(refused, SAMPLE / 9000 + 1)

    def test_anyRepeats(self) -> None:
        """
        With a rate of 0 there is no guard against loops.
        """
        count = self.ask(self.guard(rate=0, loopRate=0), 1, 0.0001, 1, DAY)
        self.assertEqual(count, (SAMPLE, 0))

    def exchange(
        self,
        guard: Guard,
        delay: float,
        payloads: int = 1,
        prefixes: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        """
        Let an echo that is so far away answer us, until we do not answer it any more:
        in time.

        :param payloads: that go round.
        :param prefixes: of what we answer, and what the other does.
        """
        start, count = self.clock.seconds(), 0
        alive = [b"loop %d" % number for number in range(payloads)]
        while alive:
            count += len(alive)
            answered = [one for one in alive if not guard.refusal(PEER, False, one)]
            alive = [prefixes[1] + prefixes[0] + one for one in answered]
            self.assertLessEqual(2 * count, 20_000)
            self.assertLessEqual(self.clock.seconds() - start, 10)
            self.clock.advance(delay)

    @settings(max_examples=50, deadline=None)
    @given(strategies.floats(0.00005, 0.009))
    def test_loopsDie(self, delay: float) -> None:
        """
        An exchange of the same bytes ends, whatever the delay.
        """
        self.exchange(self.guard(rate=0), delay)

    def test_loopsOfManyDie(self) -> None:
        """
        So it does with many going round at once.
        """
        for payloads in (2, 3, 10, 50, 200, 500):
            for delay in (0.00005, 0.001, 0.009, 0.01):
                self.exchange(self.guard(rate=0), delay, payloads)

    def test_loopsWithPrefixDie(self) -> None:
        """
        So it does when each turn puts a prefix before it, ours or theirs or both.
        """
        for prefixes in [(b"> ", b""), (b"> ", b"< "), (b"You said : ", b"You said : ")]:
            for payloads in (1, 50):
                self.exchange(self.guard(rate=0, prefix=prefixes[0]), 0.005, payloads, prefixes)

    def test_loopsWithPrefixAndCutDie(self) -> None:
        """
        So it does when the other one cuts datagrams, as most do.
        """
        for prefix in (b"x", b"> ", b"You said : "):
            for most in (100, 101, 2048, 8192):
                guard, datagram, count = self.guard(rate=0, prefix=prefix), b"hello", 0
                while not guard.refusal(PEER, False, datagram):
                    datagram, count = (prefix + datagram)[:most], count + 1
                    self.assertLess(count, 20_000, (prefix, most))
                    self.clock.advance(0.0005)

    def test_prefixInside(self) -> None:
        """
        A client whose datagrams differ never misses a reply, even if they hold the
        prefix; one that repeats them is judged like any other.
        """
        guard = self.guard(rate=0, prefix=b"> ")
        for number in range(20_000):
            datagram = b"%d%s> tail" % (number, b"x" * (number * 7919 % 50))
            self.assertEqual(guard.refusal(PEER, False, datagram), "")
            self.clock.advance(0.0005)
        lost = sum(bool(guard.refusal(PEER, False, b"> same")) for _ in range(20_000))
        self.assertIn(lost, (1, 2))

    def test_loopAmongClients(self) -> None:
        """
        So it does on a busy service, while each client has all of its replies.
        """
        guard, alive = self.guard(rate=0), True
        for number in range(10_000):
            for client in range(10):
                source = (f"198.51.100.{client}", 4567)
                self.assertEqual(guard.refusal(source, False, b"%d" % (number % 3)), "")
            for _ in range(20):
                alive = alive and not guard.refusal(PEER, False, b"loop")
            self.clock.advance(0.01)
        self.assertFalse(alive)

    def test_loopsAgain(self) -> None:
        """
        So does the next between the same two.
        """
        guard = self.guard(rate=0)
        for _ in range(5):
            self.exchange(guard, 0.001)
            self.clock.advance(1)

    def test_slowLoop(self) -> None:
        """
        An exchange that is slower than the rate goes on: it may be a client.
        """
        self.assertRaises(self.failureException, self.exchange, self.guard(rate=0), 0.01)
        self.exchange(self.guard(rate=0, loopRate=10), 0.01)

    @settings(max_examples=20, deadline=None)
    @given(strategies.sets(strategies.binary(), min_size=50, max_size=50), strategies.floats(0, 20))
    def test_differentDatagrams(self, datagrams: set[bytes], pause: float) -> None:
        """
        A client whose datagrams differ never misses a reply.
        """
        guard = self.guard(rate=0, loopRate=1)
        for datagram in datagrams:
            self.assertEqual(guard.refusal(PEER, False, datagram), "")
            self.clock.advance(pause)

    def test_differentWithPrefix(self) -> None:
        """
        Not even if they contain our prefix, with the same behind it.
        """
        guard = self.guard(rate=0, prefix=b":", loopRate=1)
        for number in range(3 * LOOP_DATAGRAMS):
            self.assertEqual(guard.refusal(PEER, False, b"%06d:ping" % number), "")
            self.clock.advance(0.01)

    @given(ADDRESSES, strategies.integers(0, 65535), strategies.booleans(), strategies.binary())
    def test_anything(self, host: str, port: int, toGroup: bool, datagram: bytes) -> None:
        """
        Whatever comes, there is an answer, of few.
        """
        reasons = {"", *remediesOf("UDP")}
        self.assertIn(self.guard().refusal((host, port), toGroup, datagram), reasons)


class RecentTests(SynchronousTestCase):
    """
    Tests for :class:`Recent`.
    """

    def test_touched(self) -> None:
        """
        Entries that are used stay; others are forgotten in the end.
        """
        recent: Recent[int] = Recent(10, 1.0)
        recent.put("kept", 1, 0)
        recent.put("dropped", 1, 0)
        for number in range(100):
            recent.put(number, 1, 0)
            recent.put("kept", 1, 0)
        self.assertEqual(recent.get("kept"), 1)
        self.assertIsNone(recent.get("dropped"))

    def test_network(self) -> None:
        """
        One peer is an IPv4 address, also behind NAT64, or a /64, or a link-local
        address on one network interface.
        """
        for address, peer in [
            ("192.0.2.1", "192.0.2.1"),
            ("64:ff9b::c000:201", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::/64"),
            ("fe80::1%2", "fe80::1%2"),
            ("fe80::1%3", "fe80::1%3"),
        ]:
            self.assertEqual(peerNetwork(ip_address(address)), peer)

    def test_links(self) -> None:
        """
        Each link-local address of each link has its own rate.
        """
        clock = Clock()
        guard = Guard(rate=1, clock=clock.seconds)
        for source in [("fe80::1", 4567, 0, 2), ("fe80::1", 4567, 0, 3), ("fe80::2", 4567, 0, 2)]:
            for number, reason in enumerate(["", "rate"]):
                self.assertEqual(guard.refusal(source, False, b"%d" % number), reason, source)


class OtherGuardTests(SynchronousTestCase):
    """
    Tests for the guards of what has no ports.
    """

    def test_raw(self) -> None:
        """
        A raw packet is judged by all that it has.
        """
        guard = RawGuard(rate=2)
        for source, toGroup, reason in [
            ("192.0.2.1", False, ""),
            ("2001:db8::1", False, ""),
            ("127.0.0.1", False, ""),
            ("::1", False, ""),
            ("192.0.2.1", True, "multicast or broadcast"),
            ("127.0.0.1", True, "multicast or broadcast"),
            ("224.0.0.1", False, "source is a group"),
            ("0.0.0.0", False, "source is no host"),
            ("240.0.0.1", False, "source is no host"),
        ]:
            self.assertEqual(guard.refusal((source, 0), toGroup, b"x"), reason, source)
        said = [guard.refusal(("192.0.2.1", 0), False, b"%d" % n) for n in range(3)]
        self.assertEqual(said, ["", "rate", "rate"])

    def test_rawLoop(self) -> None:
        """
        A loop of raw packets is ended, as one of datagrams is.
        """
        guard = RawGuard(rate=0, clock=Clock().seconds)
        said = [guard.refusal(("192.0.2.1", 0), False, b"x") for _ in range(LOOP_DATAGRAMS + 2)]
        self.assertEqual((said[-1], set(said[:-1])), ("loop", {""}))

    def locals(self, **options: Any) -> Iterator[tuple[Clock, IDatagramGuard, Any]]:
        """
        Make the guards for peers on this machine, each with its clock and a peer.
        """
        clock = Clock()
        yield clock, LocalGuard(clock=clock.seconds, **options), b"/run/peer"
        yield clock, RawGuard(clock=clock.seconds, rate=2, **options), ("127.0.0.1", 0)

    def test_interface(self) -> None:
        """
        Each guard is one that a port can ask.
        """
        for guard in (Guard(), RawGuard(), LocalGuard(), UnixGuard()):
            self.assertTrue(verifyObject(IDatagramGuard, guard))

    def test_local(self) -> None:
        """
        On one machine only a loop is refused.
        """
        for clock, guard, source in self.locals():
            said = []
            for _ in range(LOCAL_LOOP_DATAGRAMS + 2):
                said.append(guard.refusal(source, False, b"x"))
                clock.advance(0.00005)
            self.assertEqual((said[-1], set(said[:-1])), ("loop", {""}))
            self.assertEqual(guard.refusal(source, False, b"x"), "")

    def test_names(self) -> None:
        """
        A UNIX datagram is answered only to a name that means the same everywhere, and
        is none of ours.
        """
        guard = UnixGuard([b"echo", b"/run/echo", b"\0echo"])
        for source, reason in [
            (None, "unbound sender"),
            ("", "unbound sender"),
            ("peer", "relative name"),
            ("./peer", "relative name"),
            ("echo", "own socket as source"),
            ("/run/echo", "own socket as source"),
            (b"\0echo", "own socket as source"),
            ("/run/echo/2", ""),
            ("/run/\udcff", ""),
            (b"\0", ""),
            (b"\0echo\0", ""),
        ]:
            self.assertEqual(guard.refusal(source, False, b"x"), reason, source)

    def test_files(self) -> None:
        """
        It is answered to a socket of the user who sent it, and to no other file.
        """
        guard = UnixGuard([(3, 2)])
        for mode, device, inode, sender, reason in [
            (stat.S_IFSOCK, 3, 1, 1000, ""),
            (stat.S_IFSOCK, 3, 1, 0, "socket of another user"),
            (stat.S_IFSOCK, 3, 1, None, "unknown sender"),
            (stat.S_IFSOCK, 3, 2, 1000, "own socket as source"),
            (stat.S_IFSOCK, 2, 2, 1000, ""),
            (stat.S_IFLNK, 3, 1, 1000, "name of no socket"),
            (stat.S_IFREG, 3, 1, 1000, "name of no socket"),
        ]:
            found = os.stat_result((mode, inode, device, 1, 1000, 1000, 0, 0, 0, 0))
            self.assertEqual(guard.refusalTo(found, sender), reason)

    def test_localAtRate(self) -> None:
        """
        A peer on this machine that sends the same at the rate is not refused, however
        often.
        """
        for clock, guard, source in self.locals(loopRate=1000):
            for _ in range(2 * LOCAL_LOOP_DATAGRAMS):
                self.assertEqual(guard.refusal(source, False, b"ping"), "")
                clock.advance(0.001)

    def test_chosen(self) -> None:
        """
        The service has its guards take ``--loop-rate``.
        """
        chosen = Settings(loopRate=0, udpRate=0)
        clock: Any = Clock()
        ports = Ports(rulesOf(chosen), socketsOf(chosen).binding, [], clock, print)
        for transport, source in [
            ("UDP", PEER),
            ("raw", ("192.0.2.1", 0)),
            ("raw", ("127.0.0.1", 0)),
            ("UNIX datagram", b"/run/peer"),
        ]:
            guard = ports._guardOf(transport, ())
            said = {guard.refusal(source, False, b"x") for _ in range(LOCAL_LOOP_DATAGRAMS + 2)}
            self.assertEqual(said, {""})

    def test_localAnyRate(self) -> None:
        """
        With a rate of 0 a peer on this machine may repeat itself at any speed.
        """
        for _, guard, source in self.locals(loopRate=0):
            for _ in range(2 * LOCAL_LOOP_DATAGRAMS):
                self.assertEqual(guard.refusal(source, False, b"ping"), "")
