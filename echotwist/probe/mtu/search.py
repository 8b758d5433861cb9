"""
How large a packet passes whole, there and back (pure).

All sizes are bytes of an IP packet, with its header.
"""

from __future__ import annotations

from collections import Counter

#: Sizes that many paths have, tried first: the least of IPv6 (RFC 8200), and Ethernet's.
COMMON = (1280, 1500)

#: How often the largest size is tried before smaller ones are: the first reply may only
#: have taught the other host how large a packet may be on the way back.
_FIRST = 2

#: Tries in all.
_MOST = 64


class Search:
    """
    Find the largest size that passes, by trying one after the other.

    A size that is answered passes.  One that ICMP refuses does not.  One that nobody
    answers probably does not: before that is believed it is tried again and again, each
    time followed by one that is known to pass, so that a lossy path is not taken for a
    narrow one.

    :param least: the first size.
    :param most: the largest that can be sent.
    :param tries: how often nobody must have answered a size that seems not to pass.
    :ivar passed: the largest that was answered; 0 if none was.
    :ivar icmp: of sizes that ICMP refused, how large ICMP says that a packet may be; 0 if
        that is not said, or cannot be.
    """

    def __init__(self, least: int, most: int, tries: int) -> None:
        self._least, self._most, self._tries = least, most, tries
        self.passed = 0
        self.icmp: dict[int, int] = {}
        self._missed: Counter[int] = Counter()
        self._confirmed: Counter[int] = Counter()
        self._suspect = 0  # It was not answered; what is known to pass comes next.
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
        The smallest size that does not pass, as far as is known.
        """
        told = [mtu + 1 if mtu else size for size, mtu in self.icmp.items()]
        missed = [size for size in self._missed if size > self.passed]
        return min([self._most + 1, *told, *missed])

    @property
    def isExact(self) -> bool:
        """
        Whether the size that passes is known to the byte.
        """
        above = self.above
        return self.passed > 0 and above == self.passed + 1 and self._isSure(above)

    @property
    def isHole(self) -> bool:
        """
        Whether larger packets get lost without a word.
        """
        return self.passed > 0 and self.above in self._missed

    def _isSure(self, size: int) -> bool:
        isRefused = size > self._most or size in self.icmp
        return isRefused or self._confirmed[size] >= self._tries

    # What to try

    def next(self) -> int | None:
        """
        Give the size to try next; nothing when there is no more to find out.
        """
        isSilent = not self.passed and self._missed[self._least] > self._tries
        if isSilent or not self._left or self.isExact:
            return None
        self._left -= 1
        return self._choose()

    def _choose(self) -> int:
        passed, above, most = self.passed, self.above, self._most
        if not passed:
            return self._least
        if not self.icmp and passed < most and self._missed[most] < _FIRST:
            return most
        told = min(filter(None, self.icmp.values()), default=0)
        if told > passed and told not in self.icmp and self._missed[told] < _FIRST:
            return told
        if above - passed == 1:
            return passed if self._suspect else above
        common = [size for size in COMMON if passed < size < above]
        return common[0] if common else (passed + above) // 2

    # What is heard

    def limit(self, most: int) -> None:
        """
        Hear how large the packets are that this host sends.
        """
        self._most = min(self._most, most)
        for size in [one for one in self._missed if one > most]:
            del self._missed[size]

    def answered(self, size: int) -> None:
        """
        Hear that a size was answered, however late.
        """
        if self._suspect and size == self.passed:
            self._confirmed[self._suspect] += 1
        self._suspect = 0
        self.passed = max(self.passed, size)
        self._missed = Counter({one: n for one, n in self._missed.items() if one > self.passed})
        # Whoever said so was wrong, or the path is another by now.
        self.icmp = {one: mtu for one, mtu in self.icmp.items() if (mtu or one - 1) >= self.passed}

    def refused(self, size: int, mtu: int) -> None:
        """
        Hear that ICMP says that a size is too large.

        :param mtu: the size that is not, if that is said.
        """
        isPossible = max(self.passed, self._least) <= mtu < size
        self.icmp[size] = mtu if isPossible else 0
        self._suspect = 0

    def missed(self, size: int) -> None:
        """
        Hear that nobody answered a size in time.
        """
        if self._suspect or 0 < size <= self.passed:
            self._suspect = 0
            return
        self._missed[size] += 1
        if size - self.passed == 1:
            self._suspect = size


class WayBack:
    """
    Find out how large a packet may be on the way back, by how replies arrive: whole, or
    in fragments.

    :ivar whole: the largest reply that came whole.
    :ivar pieces: the largest fragment of a reply; 0 if all replies were whole.
    """

    def __init__(self) -> None:
        self.pieces = 0
        self.whole = 0
        self._cut = 0
        self._missed: Counter[int] = Counter()

    def heard(self, size: int, pieces: int) -> None:
        """
        Hear of a reply.

        :param size: that it would have, or had, as one packet.
        :param pieces: its largest fragment; 0 if it came whole.
        """
        if not pieces:
            self.whole = max(self.whole, size)
            return
        self.pieces = max(self.pieces, pieces)
        self._cut = min(self._cut or size, size)

    def missed(self, size: int) -> None:
        """
        Hear that there was none.
        """
        self._missed[size] += 1

    @property
    def least(self) -> int:
        """
        So much passes whole for sure.
        """
        return max(self.whole, self.pieces)

    @property
    def most(self) -> int | None:
        """
        So much, at the most; nothing if that is not known.

        A fragment is smaller than it might be by up to 7 bytes: all but the last one
        have a multiple of 8 (RFC 791, section 3.2; RFC 8200, section 4.5).
        """
        return min(self._cut - 1, self.pieces + 7) if self.pieces else None

    @property
    def isExact(self) -> bool:
        """
        Whether it is known to the byte.
        """
        return self.most == self.least

    def next(self, most: int) -> int | None:
        """
        Give the size to try next; nothing when there is no more to find out.

        :param most: what passes on the way there.
        """
        high = self.most
        if high is None or self.least >= high:
            return None
        size = min((self.least + high + 1) // 2, most)
        return size if size > self.least and self._missed[size] < _FIRST else None
