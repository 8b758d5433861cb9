"""
Whom a datagram echo answers.
"""

from __future__ import annotations

import os
import stat
from ipaddress import ip_address
from typing import Any

from hypothesis import given, settings, strategies
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echotwist.addresses import peerNetwork
from echotwist.guard import Guard, Judge, LocalGuard, RawGuard, UnixGuard
from echotwist.loops import (
    ENTRIES,
    FORGET_SECONDS,
    LOCAL_LOOP_DATAGRAMS,
    LOOP_DATAGRAMS,
    LOOP_SECONDS,
    Recent,
)

PEER = ("192.0.2.1", 4567)

ADDRESSES = strategies.one_of(
    strategies.ip_addresses(v=4).map(str), strategies.ip_addresses(v=6).map(str)
)


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

    def objection(self, guard: Guard, source: tuple[Any, ...] = PEER, toGroup: bool = False) -> str:
        """
        Ask about a datagram that is unlike all before.
        """
        self.number += 1
        return guard.objection(source, toGroup, b"%d" % self.number)

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
            self.assertEqual(self.objection(self.guard(), ("192.0.2.1", port)), reason)
            self.assertEqual(self.objection(self.guard(), ("127.0.0.1", port)), reason)

    def test_answerLowPorts(self) -> None:
        """
        Low ports may be allowed; 0 and our own never.
        """
        guard = self.guard(answerLowPorts=True)
        self.assertEqual(self.objection(guard, ("192.0.2.1", 1)), "")
        self.assertEqual(self.objection(guard, ("192.0.2.1", 0)), "source port 0")
        self.assertEqual(self.objection(guard, ("192.0.2.1", 1234)), "own port as source")

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
            self.assertEqual(self.objection(self.guard(), (host, 4567)) == "", answered, host)

    def test_group(self) -> None:
        """
        What was sent to a group is never answered.
        """
        self.assertEqual(self.objection(self.guard(), toGroup=True), "multicast or broadcast")

    def answered(self, guard: Guard, times: int, host: str = "192.0.2.1") -> int:
        """
        Count the answers to so many datagrams, each from another port.
        """
        return sum(
            not self.objection(guard, (host, 2000 + number % 60_000)) for number in range(times)
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
        One who asks too much does not harm others, but for those that can be
        the same host: a /64.
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

    def test_noRate(self) -> None:
        """
        Loopback has no rate, as nothing from the wire can bear its addresses;
        nor has anybody with a rate of 0.
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
        Whatever the bursts, nobody has more than the rate and one second's worth.
        """
        guard, seconds, got = self.guard(rate=rate), 0.0, 0
        for pause, times in bursts:
            self.clock.advance(pause)
            seconds += pause
            got += self.answered(guard, times)
            self.assertLessEqual(got, rate * (seconds + 1) + 1)

    def test_flood(self) -> None:
        """
        However many sources there are, the tables stay small, and who was
        there before has all replies.
        """
        guard = self.guard(rate=100)
        old = ("203.0.113.1", 5000)
        for number in range(10 * ENTRIES):
            source = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 4567)
            self.objection(guard, source)
            if number % 1000 == 0:
                self.clock.advance(0.01)
                self.assertEqual(self.objection(guard, old), "")
        for table in (guard._busyUntil, guard._loops._repeated):
            self.assertLessEqual(len(table._new), ENTRIES)
            self.assertLessEqual(len(table._old), ENTRIES)

    def test_floodDoesNotHide(self) -> None:
        """
        Nor does the flood make the guard forget who asks too much.
        """
        guard, got = self.guard(rate=100), 0
        for number in range(10 * ENTRIES):
            self.objection(guard, (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 4567))
            if number % 10 == 0:
                got += not self.objection(guard)
        self.assertEqual(got, 100)

    def exchange(self, guard: Guard, delay: float, prefix: bytes = b"") -> tuple[int, float]:
        """
        Let an echo that is so far away answer us, until we do not answer it.

        :return: how many datagrams that took, and how many seconds.
        """
        datagram, start = b"spoofed", self.clock.seconds()
        for count in range(1, 10**6):
            if guard.objection(PEER, False, datagram):
                return count, self.clock.seconds() - start
            datagram = prefix + guard._loops._prefix + datagram
            self.clock.advance(delay)
        raise AssertionError("it goes on for ever")

    @settings(max_examples=30, deadline=None)
    @given(strategies.floats(0.0001, FORGET_SECONDS - 0.1))
    def test_loopsDie(self, delay: float) -> None:
        """
        An exchange of the same bytes ends, whatever the delay.
        """
        count, seconds = self.exchange(self.guard(rate=0), delay)
        self.assertLessEqual(2 * count, 20_000)
        self.assertLessEqual(seconds, 10)

    def test_loopsWithPrefixDie(self) -> None:
        """
        So it does when each turn puts a prefix before it, ours or theirs or both.
        """
        for ours, theirs in [(b"> ", b""), (b"> ", b"< "), (b"You said : ", b"You said : ")]:
            count, seconds = self.exchange(self.guard(rate=0, prefix=ours), 0.01, theirs)
            self.assertLessEqual(2 * count, 20_000)
            self.assertLessEqual(seconds, 10)

    def test_loopsOfManyDie(self) -> None:
        """
        So it does with a thousand others going round at once.
        """
        guard = self.guard(rate=0)
        alive = {b"%d" % number for number in range(1000)}
        count = 0
        while alive:
            count += len(alive)
            alive = {one for one in alive if not guard.objection(PEER, False, one)}
            self.clock.advance(0.1)
            self.assertLess(self.clock.seconds(), 10)
        self.assertLess(2 * count, 20_000 + 2 * 1000)

    @settings(max_examples=20, deadline=None)
    @given(strategies.sets(strategies.binary(), min_size=50, max_size=50), strategies.floats(0, 20))
    def test_differentDatagrams(self, datagrams: set[bytes], pause: float) -> None:
        """
        Whose datagrams differ never misses a reply.
        """
        guard = self.guard(rate=0)
        for datagram in datagrams:
            self.assertEqual(guard.objection(PEER, False, datagram), "")
            self.clock.advance(pause)

    def test_differentWithPrefix(self) -> None:
        """
        Not even if they contain our prefix, with the same behind it.
        """
        guard = self.guard(rate=0, prefix=b":")
        for number in range(300):
            self.assertEqual(guard.objection(PEER, False, b"%06d:ping" % number), "")
            self.clock.advance(0.1)

    def test_sameDatagrams(self) -> None:
        """
        Who sends the same again and again misses one now and then; who sends
        it seldom, none.
        """
        guard = self.guard(rate=0)
        replies = [guard.objection(PEER, False, b"ping") for _ in range(10 * LOOP_DATAGRAMS)]
        self.assertEqual(replies.count("loop"), 9)
        for _ in range(100):
            self.clock.advance(FORGET_SECONDS)
            self.assertEqual(guard.objection(PEER, False, b"ping"), "")
        self.assertGreater(FORGET_SECONDS, LOOP_SECONDS)

    @given(ADDRESSES, strategies.integers(0, 65535), strategies.booleans(), strategies.binary())
    def test_anything(self, host: str, port: int, toGroup: bool, datagram: bytes) -> None:
        """
        Whatever comes, there is an answer, of few.
        """
        reasons = {"", "source port 0", "low source port", "own port as source"}
        reasons |= {"multicast or broadcast", "source is no host", "source is a group"}
        self.assertIn(self.guard().objection((host, port), toGroup, datagram), reasons)


class RecentTests(SynchronousTestCase):
    """
    Tests for :class:`Recent`.
    """

    def test_touched(self) -> None:
        """
        What is touched stays, and what is not is forgotten in the end.
        """
        recent: Recent[int] = Recent(10, 1.0)
        recent.put("kept", 1, 0)
        recent.put("dropped", 1, 0)
        for number in range(100):
            recent.put(number, 1, 0)
            recent.put("kept", 1, 0)
        self.assertEqual(recent.get("kept"), 1)
        self.assertIsNone(recent.get("dropped"))

    def test_drop(self) -> None:
        """
        What is dropped is gone, from both halves.
        """
        recent: Recent[int] = Recent(1, 1.0)
        recent.put("a", 1, 0)
        recent.put("b", 2, 0)
        recent.put("a", 3, 0)
        recent.drop("a")
        self.assertIsNone(recent.get("a"))

    def test_network(self) -> None:
        """
        One peer is an IPv4 address, or a /64.
        """
        self.assertEqual(peerNetwork(ip_address("192.0.2.1")), "192.0.2.1")
        self.assertEqual(peerNetwork(ip_address("2001:db8::1")), "2001:db8::/64")


class OtherGuardTests(SynchronousTestCase):
    """
    Tests for the guards of what has no ports.
    """

    def test_raw(self) -> None:
        """
        Of a raw packet all is judged that it has.
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
            self.assertEqual(guard.objection((source, 0), toGroup, b"x"), reason, source)
        said = [guard.objection(("192.0.2.1", 0), False, b"%d" % n) for n in range(3)]
        self.assertEqual(said, ["", "rate", "rate"])

    def test_rawLoop(self) -> None:
        """
        A loop of raw packets is ended, as one of datagrams is.
        """
        guard = RawGuard(rate=0)
        said = [guard.objection(("192.0.2.1", 0), False, b"x") for _ in range(LOOP_DATAGRAMS + 1)]
        self.assertEqual((said[-1], set(said[:-1])), ("loop", {""}))

    def test_local(self) -> None:
        """
        On one machine only a loop is ended.
        """
        clock = Clock()
        judges: list[tuple[Judge, Any]] = [
            (LocalGuard(clock=clock.seconds), b"/run/peer"),
            (RawGuard(rate=2), ("127.0.0.1", 0)),
        ]
        for judge, source in judges:
            said = []
            for _ in range(LOCAL_LOOP_DATAGRAMS + 1):
                said.append(judge.objection(source, False, b"x"))
                clock.advance(0.001)
            self.assertEqual((said[-1], set(said[:-1])), ("loop", {""}))
            self.assertEqual(judge.objection(source, False, b"x"), "")

    def test_names(self) -> None:
        """
        A UNIX datagram is answered to a name that means the same everywhere, and is
        none of ours.
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
            self.assertEqual(guard.objection(source, False, b"x"), reason, source)

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
            self.assertEqual(guard.objectionTo(found, sender), reason)

    def test_slow(self) -> None:
        """
        Who asks the same from time to time is never refused.
        """
        clock = Clock()
        guard = LocalGuard(clock=clock.seconds)
        for _ in range(1000):
            self.assertEqual(guard.objection(b"/run/probe", False, b"ping"), "")
            clock.advance(1)
