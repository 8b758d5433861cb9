"""
Measure the path of datagrams: the sizes that pass, whole and in fragments, on each way.
"""

from __future__ import annotations

import socket
from typing import Protocol

from echotwist.probe.mtu.courier import ANSWERED, LARGEST, REFUSED, UNSENT, Trial
from echotwist.probe.mtu.fragmenting import LEAST6, OPTIONS, How
from echotwist.probe.mtu.search import Search, WayBack
from echotwist.probe.payload import HEADER
from echotwist.probe.schedule import SECOND

#: How long to wait for a reply: this many times the longest round trip, and at least this
#: many nanoseconds.
_TIMES, _LEAST = 4, SECOND // 10

#: The same for a packet that is sent again at once: so no answer is missed that comes late.
_TIMES_SOON, _LEAST_SOON = 2, SECOND // 200

#: Bytes by which a datagram that needs fragments exceeds the largest whole packet.
_MORE = 400

#: How many times to try fragments again when a small whole packet gets no reply either.
_ROUNDS = 3

#: Bytes of a fragment, at least.
_PIECE = 48

#: The direction of a black hole; a stream may have one on both ways.
THERE, BACK, BOTH, UNKNOWN = "there", "back", "both", "unknown"


class ICourier(Protocol):
    """
    Sends packets one by one; see :class:`echotwist.probe.mtu.courier.Courier`.
    """

    @property
    def family(self) -> int:
        """
        The address family of the path.
        """

    @property
    def canCut(self) -> bool:
        """
        Whether this process can send fragments of any size.
        """

    async def ask(self, size: int, how: How, patience: int) -> Trial:
        """
        Send a packet, and wait for its outcome.
        """


class ReplyTimeout:
    """
    Choose how long to wait for a reply from the round trips so far (pure).

    :param most: nanoseconds to wait at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._longest: int | None = None

    def took(self, nanoseconds: int) -> None:
        """
        Note the round trip of a reply.
        """
        self._longest = max(nanoseconds, self._longest or 0)

    @property
    def nanoseconds(self) -> int:
        """
        Nanoseconds to wait for the next reply.
        """
        return self._after(_TIMES, _LEAST)

    @property
    def soon(self) -> int:
        """
        Nanoseconds until the packet is sent again, while its reply may still come.
        """
        return self._after(_TIMES_SOON, _LEAST_SOON)

    def _after(self, times: int, least: int) -> int:
        if self._longest is None:
            return self._most
        return min(self._most, max(least, times * self._longest))


class DatagramPath:
    """
    Measure which packets a path carries.

    :param courier: sends packets.
    :param tries: how many packets of a size must stay unanswered before it counts as lost.
    :param timeout: nanoseconds to wait for a reply at most.
    :ivar search: the size that passes whole on the way there.
    :ivar back: the size that passes whole on the way back.
    :ivar most: bytes of the largest packet that this host sends.
    :ivar router: whether fragments made by a router pass; ``None`` if unknown.
    :ivar fragmentsThere: whether fragments pass on the way there; ``None`` if unknown.
    :ivar fragmentsBack: whether fragments pass on the way back; ``None`` if unknown.
    :ivar hole: the way on which larger packets get lost without an ICMP error, if they do.
    """

    def __init__(self, courier: ICourier, tries: int, timeout: int) -> None:
        self._courier = courier
        self._tries = tries
        self._isSix = courier.family == socket.AF_INET6
        self._timeout = ReplyTimeout(timeout)
        self.most = LARGEST
        least = OPTIONS[socket.AddressFamily(courier.family)].header + HEADER
        self.search = Search(least, LARGEST, tries)
        self.back = WayBack()
        self.refusals: dict[int, Trial] = {}
        self.router: bool | None = None
        self.fragmentsThere: bool | None = None
        self.fragmentsBack: bool | None = None
        self.hole: str | None = None

    async def measure(self) -> None:
        """
        Measure the path in both directions.
        """
        await self._searchWhole()
        if self.search.passed:
            await self._searchBack()
            await self._tryFragments()

    async def _ask(self, size: int, how: How, isRepeated: bool = False) -> Trial:
        patience = self._timeout.soon if isRepeated else self._timeout.nanoseconds
        trial = await self._courier.ask(size, how, patience)
        self.heard(trial)
        return trial

    def heard(self, trial: Trial) -> None:
        """
        Note the outcome of a packet; called again if a reply comes late.
        """
        if trial.outcome == ANSWERED:
            self._timeout.took(trial.took or 0)
            self.back.heard(trial.returned, trial.pieces)
        if not trial.how.isWhole:
            return
        if trial.outcome == ANSWERED:
            self.search.answered(trial.size)
        elif trial.outcome == REFUSED:
            self.refusals[trial.size] = trial
            self.search.refused(trial.size, trial.mtu)
        elif trial.outcome == UNSENT and trial.mtu:
            self.most = min(self.most, trial.mtu)
            self.search.limit(trial.mtu)
        else:
            self.search.missed(trial.size)

    async def _searchWhole(self) -> None:
        while (size := self.search.next()) is not None:
            await self._ask(size, How(), self.search.isRepeated(size))

    async def _searchBack(self) -> None:
        while (size := self.back.next(self.search.passed)) is not None:
            if (await self._ask(size, How())).outcome != ANSWERED:
                self.back.missed(size)

    async def _passes(self, size: int, how: How) -> bool:
        """
        Tell whether a packet passes.  It does not if it stays unanswered several times, while a
        smaller packet that is known to pass is answered each time in between.
        """
        tried: list[Trial] = []
        for _ in range(_ROUNDS):
            for _ in range(self._tries):
                tried.append(await self._ask(size, how, isRepeated=not tried))
                if tried[-1].outcome == ANSWERED:
                    return True
            if (await self._ask(self.search.least, How())).outcome == ANSWERED:
                break
        return any(one.outcome == ANSWERED for one in tried)  # Late.

    async def _tryFragments(self) -> None:
        passed, most = self.search.passed, self.most
        # IPv4 has no socket option for the size of fragments: the kernel believes any ICMP.
        how = How(False, passed if self._isSix else 0, bool(self.search.icmp))
        if self._courier.canCut:
            how = self._byHand
            # No larger than a packet that passes whole: the reply may then come whole, too.
            self.fragmentsThere = await self._passes(passed, how)
        isLarge = None
        # IPv6 hosts make no fragments smaller than the minimum MTU of IPv6.
        if most + _MORE <= LARGEST and (not self._isSix or passed >= LEAST6):
            isLarge = self.fragmentsThere is not False and await self._passes(most + _MORE, how)
        if isLarge:
            self.fragmentsThere = True
        elif isLarge is False and self.back.pieces and self.fragmentsThere is None:
            self.fragmentsThere = False
        if passed < most:
            await self._tryNarrow(how, bool(isLarge))
        if self.back.pieces:
            self.fragmentsBack = True
        elif isLarge is False and self.fragmentsThere and self.back.whole >= most:
            self.fragmentsBack = False

    @property
    def _byHand(self) -> How:
        return How(False, max(_PIECE, self.search.passed // 2), isByHand=True)

    async def _tryNarrow(self, how: How, isLarge: bool) -> None:
        """
        Find the way on which large packets get lost.  Send a large datagram in small fragments:
        its reply is as large, and may come as one packet.

        :param how: how the fragments of larger sizes left.
        :param isLarge: whether those passed.
        """
        isHole = self.search.isHole
        size = self.search.above if isHole else self.most
        isRouted = not self._isSix and await self._passes(size, How(False))
        isApart = isRouted
        if not isRouted and self._courier.canCut and self.fragmentsThere:
            isApart = await self._passes(size, self._byHand)
        elif not isRouted and how.isAsTold and not self._isSix:
            isApart = await self._passes(size, how)
        if not self._isSix and isApart:
            self.router = isRouted
        self.fragmentsThere = isApart or self.fragmentsThere
        if isHole:
            self.hole = self._sideOf(isApart, isLarge)

    def _sideOf(self, isApart: bool, isLarge: bool) -> str:
        if isApart:
            return THERE
        if self._isSix and isLarge and not self._courier.canCut:
            # The service's host fragments to the path MTU that it knows.  If its fragments are
            # larger, or it knows a smaller MTU, the packets are not lost on the way back.
            pieces, passed = self.back.pieces, self.search.passed
            return UNKNOWN if passed - 8 < pieces <= passed else THERE
        isKnown = self.fragmentsThere and (self._courier.canCut or not self._isSix)
        return BACK if isKnown else UNKNOWN
