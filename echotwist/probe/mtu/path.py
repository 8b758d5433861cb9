"""
The path of datagrams: what passes whole, and in fragments, on the way there and back.
"""

from __future__ import annotations

import socket
from typing import Protocol

from echotwist.probe.mtu.courier import ANSWERED, LARGEST, REFUSED, UNSENT, Trial
from echotwist.probe.mtu.fragmenting import LEAST6, OPTIONS, How
from echotwist.probe.mtu.search import Search, WayBack
from echotwist.probe.payload import HEADER
from echotwist.probe.schedule import SECOND

#: Nanoseconds to wait for a reply: so many times the longest round trip, but so long at
#: least.
_TIMES, _LEAST = 4, SECOND // 10

#: By how many bytes a datagram that needs fragments is larger than a packet.
_MORE = 400

#: How often fragments are tried all over again when nothing else passes either.
_ROUNDS = 3

#: Bytes of a fragment at the least.
_PIECE = 48

#: Where a black hole is; of streams there may be one on both ways.
THERE, BACK, BOTH, UNKNOWN = "there", "back", "both", "unknown"


class ICourier(Protocol):
    """
    Sends packets one by one; see :class:`echotwist.probe.mtu.courier.Courier`.
    """

    @property
    def family(self) -> int:
        """
        The family of the addresses.
        """

    @property
    def canCut(self) -> bool:
        """
        Whether it can send fragments of any size.
        """

    async def ask(self, size: int, how: How, patience: int) -> Trial:
        """
        Send a packet, and wait until something is known of it.
        """


class ReplyTimeout:
    """
    How long to wait for a reply, by how long others took (pure).

    :param most: nanoseconds.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._longest: int | None = None

    def took(self, nanoseconds: int) -> None:
        """
        Hear how long one took.
        """
        self._longest = max(nanoseconds, self._longest or 0)

    @property
    def nanoseconds(self) -> int:
        """
        How long to wait.
        """
        if self._longest is None:
            return self._most
        return min(self._most, max(_LEAST, _TIMES * self._longest))


class DatagramPath:
    """
    Find out what a path carries.

    :param courier: sends.
    :param tries: how often nobody must have answered something that seems not to pass.
    :param timeout: nanoseconds to wait for a reply at the most.
    :ivar search: what passes whole on the way there.
    :ivar back: what passes on the way back.
    :ivar most: bytes of the largest packet that this host sends.
    :ivar router: whether fragments pass that a router made; nothing if that is not known.
    :ivar fragmentsThere: whether fragments pass on the way there.
    :ivar fragmentsBack: whether they do on the way back.
    :ivar hole: where larger packets get lost without a word, if they do.
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
        Find out all of it.
        """
        await self._searchWhole()
        if self.search.passed:
            await self._searchBack()
            await self._tryFragments()

    async def _ask(self, size: int, how: How) -> Trial:
        trial = await self._courier.ask(size, how, self._timeout.nanoseconds)
        self.heard(trial)
        return trial

    def heard(self, trial: Trial) -> None:
        """
        Hear what became of a packet, or, later, what became of it after all.
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
            await self._ask(size, How())

    async def _searchBack(self) -> None:
        while (size := self.back.next(self.search.passed)) is not None:
            if (await self._ask(size, How())).outcome != ANSWERED:
                self.back.missed(size)

    async def _passes(self, size: int, how: How) -> bool:
        """
        Tell whether something passes: if nobody answers it again and again, and what is
        known to pass is answered then, it does not.
        """
        tried: list[Trial] = []
        for _ in range(_ROUNDS):
            for _ in range(self._tries):
                tried.append(await self._ask(size, how))
                if tried[-1].outcome == ANSWERED:
                    return True
            if (await self._ask(self.search.least, How())).outcome == ANSWERED:
                break
        return any(one.outcome == ANSWERED for one in tried)  # Late.

    async def _tryFragments(self) -> None:
        passed, most = self.search.passed, self.most
        # Of IPv4 there is no saying how large fragments should be.
        how = How(False, passed if self._isSix else 0, bool(self.search.icmp))
        if self._courier.canCut:
            # As much as passes whole: the reply does so, too.
            self.fragmentsThere = await self._passes(passed, self._byHand)
        isLarge = None
        # Hosts of IPv6 make no fragments smaller than what each path has to carry.
        if most + _MORE <= LARGEST and (not self._isSix or passed >= LEAST6):
            isLarge = self.fragmentsThere is not False and await self._passes(most + _MORE, how)
        if isLarge:
            self.fragmentsThere = True
        elif isLarge is False and self.back.pieces:
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
        See whether what does not pass whole passes in fragments there, and its reply, which
        is as large and may be whole, comes back: that says where it gets lost.

        :param how: larger ones leave.
        :param isLarge: they pass.
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
            # The other host makes fragments as large as it believes that they may be: if
            # they are larger, or it knows better, the way back is not to blame.
            pieces, passed = self.back.pieces, self.search.passed
            return UNKNOWN if passed - 8 < pieces <= passed else THERE
        isKnown = self.fragmentsThere and (self._courier.canCut or not self._isSix)
        return BACK if isKnown else UNKNOWN
