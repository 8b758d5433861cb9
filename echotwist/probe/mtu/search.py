"""
Search for the largest packet that passes whole, on each way (pure).

All sizes are bytes of an IP packet, with its header.
"""

from __future__ import annotations

from collections import Counter

#: Sizes that are tried first, as many paths have them: the minimum of IPv6 (RFC 8200), and
#: the MTU of Ethernet.
COMMON = (1280, 1500)

#: If so many bytes more do not pass, one of these sizes probably is the MTU.
_FAR = 256

#: How many times to try the largest size before smaller ones: only when its first reply is
#: lost does the service's host learn the path MTU of the way back.
_FIRST = 2

#: Tries in all, at most.
_MOST = 64


class Search:
    """
    Find the largest size that passes, one try after the other.

    A size passes if it is answered.  It does not pass if ICMP refuses it.  A size without a
    reply probably does not pass, but the packet may have been lost by chance: so the search
    tries it several times, each time followed by a size that is known to pass.  So it does not
    take a lossy path for a narrow one.

    :param least: the first size.
    :param most: the largest size that this host can send.
    :param tries: how many packets of a size must stay unanswered before it counts as lost.
    :ivar passed: the largest size that was answered; 0 if none was.
    :ivar icmp: the MTU that ICMP reported; 0 if ICMP reported none, or a value that cannot be
        right.
    """

    def __init__(self, least: int, most: int, tries: int) -> None:
        self._least, self._most, self._tries = least, most, tries
        self.passed = 0
        self.icmp: dict[int, int] = {}
        self._missed: Counter[int] = Counter()
        self._confirmed: Counter[int] = Counter()
        self._suspect = 0  # A size without a reply; next, a size that is known to pass is tried.
        self._left = _MOST

    @property
    def least(self) -> int:
        """
        The first size.
        """
        return self._least

    @property
    def above(self) -> int:
        """
        The smallest size that is known not to pass.
        """
        told = [mtu + 1 if mtu else size for size, mtu in self.icmp.items()]
        missed = [size for size in self._missed if size > self.passed]
        return min([self._most + 1, *told, *missed])

    @property
    def isExact(self) -> bool:
        """
        Whether the largest size that passes is known to the byte.
        """
        above = self.above
        return self.passed > 0 and above == self.passed + 1 and self._isSure(above)

    @property
    def isHole(self) -> bool:
        """
        Whether larger packets get lost without an ICMP error.
        """
        return self.passed > 0 and self.above in self._missed

    def _isSure(self, size: int) -> bool:
        isRefused = size > self._most or size in self.icmp
        return isRefused or self._confirmed[size] >= self._tries

    # What to try

    def next(self) -> int | None:
        """
        Return the size to try next; ``None`` when the search is over.
        """
        isSilent = not self.passed and self._missed[self._least] > self._tries
        if isSilent or not self._left or self.isExact:
            return None
        self._left -= 1
        return self._choose()

    def _choose(self) -> int:
        passed, above = self.passed, self.above
        if not passed:
            return self._least
        if (told := self._told) is not None:
            return told
        if above - passed == 1:
            return passed if self._suspect else above
        common = [size for size in COMMON if passed < size < above]
        if common:
            return common[0]
        isLimit = passed in COMMON and above - passed > _FAR
        return passed + 1 if isLimit else (passed + above) // 2

    @property
    def _told(self) -> int | None:
        """
        The MTU that ICMP, or else this host, reports, until its packets were tried.
        """
        told = min(filter(None, self.icmp.values()), default=0) if self.icmp else self._most
        isOpen = told > self.passed and told not in self.icmp and self._missed[told] < _FIRST
        return told if isOpen else None

    def isRepeated(self, size: int) -> bool:
        """
        Tell whether a size is tried again at once if no reply comes: then there is no
        need to wait for long.
        """
        return self.passed > 0 and size == self._told and not self._missed[size]

    # What is heard

    def limit(self, most: int) -> None:
        """
        Lower the largest size to what this host can send.
        """
        self._most = min(self._most, most)
        for size in [one for one in self._missed if one > most]:
            del self._missed[size]

    def answered(self, size: int) -> None:
        """
        Note that a size was answered, even if late.
        """
        if self._suspect and size == self.passed:
            self._confirmed[self._suspect] += 1
        self._suspect = 0
        self.passed = max(self.passed, size)
        self._missed = Counter({one: n for one, n in self._missed.items() if one > self.passed})
        # The ICMP error was wrong, or the path has changed.
        self.icmp = {one: mtu for one, mtu in self.icmp.items() if (mtu or one - 1) >= self.passed}

    def refused(self, size: int, mtu: int) -> None:
        """
        Note that ICMP refused a size as too large.

        :param mtu: the MTU that ICMP reported; 0 if none.
        """
        isPossible = max(self.passed, self._least) <= mtu < size
        self.icmp[size] = mtu if isPossible else 0
        self._suspect = 0

    def missed(self, size: int) -> None:
        """
        Note that a size was not answered in time.
        """
        if self._suspect or 0 < size <= self.passed:
            self._suspect = 0
            return
        self._missed[size] += 1
        if size - self.passed == 1:
            self._suspect = size


class WayBack:
    """
    Find the largest packet on the way back from how replies arrive: whole, or in fragments.

    :ivar whole: the largest reply that came whole.
    :ivar pieces: bytes of the largest fragment of a reply; 0 if all replies came whole.
    """

    def __init__(self) -> None:
        self.pieces = 0
        self.whole = 0
        self._cut = 0
        self._missed: Counter[int] = Counter()

    def heard(self, size: int, pieces: int) -> None:
        """
        Note a reply.

        :param size: bytes of the reply as one packet.
        :param pieces: bytes of its largest fragment; 0 if it came whole.
        """
        if not pieces:
            self.whole = max(self.whole, size)
            return
        self.pieces = max(self.pieces, pieces)
        self._cut = min(self._cut or size, size)

    def missed(self, size: int) -> None:
        """
        Note that no reply of a size came.
        """
        self._missed[size] += 1

    @property
    def least(self) -> int:
        """
        The largest size that certainly passes whole.
        """
        return max(self.whole, self.pieces)

    @property
    def most(self) -> int | None:
        """
        The largest size that may pass whole; ``None`` if unknown.

        A fragment may be up to 7 bytes smaller than the MTU: every fragment but the last
        has a multiple of 8 bytes of data (RFC 791, section 3.2; RFC 8200, section 4.5).
        """
        return min(self._cut - 1, self.pieces + 7) if self.pieces else None

    @property
    def isExact(self) -> bool:
        """
        Whether the size is known to the byte.
        """
        return self.most == self.least

    def next(self, most: int) -> int | None:
        """
        Return the size to try next; ``None`` when the search is over.

        :param most: the largest size that passes on the way there.
        """
        high = self.most
        if high is None or self.least >= high:
            return None
        size = min((self.least + high + 1) // 2, most)
        return size if size > self.least and self._missed[size] < _FIRST else None
