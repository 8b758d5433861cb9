"""
What a check finds, and what follows from it (pure).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from inspect import cleandoc
from typing import Any

from attrs import field, frozen

from echotwist.probe.result import FAILED, HELD, SILENCE

#: What may be found: it is as it should be, or not, or that cannot be told here.
OK, WRONG, NOT_APPLICABLE = "ok", "wrong", "not applicable"

#: The check without which no other means anything.
FIRST = "answers"

#: Seconds by which an answer may be later than the network takes, and that to a second
#: piece later than to the first: Linux delays an acknowledgement by 40 ms at least.
PROMPT, HELD_BACK = 0.02, 0.03


#: What to do when a service that was there is gone.
GONE = (
    "It was there before: see in its log whether it ended, or was switched off by a limit "
    "on the rate (xinetd: cps; inetd: -R)."
)

_TOO_FEW = "Look for a limit on the rate (xinetd: cps), and give its socket more room (SO_RCVBUF)."


class Wrong(Exception):
    """
    The service does something else than it should.

    :param text: says what.
    :param advice: what its operator can do, if not what the check itself advises.
    """

    def __init__(self, text: str, advice: str = "") -> None:
        super().__init__(text)
        self.advice = advice


class NotApplicable(Exception):
    """
    It cannot be told here whether the service is right; the text says why.
    """


@frozen(kw_only=True)
class Limits:
    """
    How far checks go.

    :param answer: seconds in which anything must come of a service.
    :param stall: seconds after which one that takes nothing has stopped taking.
    :param beat: seconds between datagrams of which nobody should get too many.
    :param check: seconds for a check.
    :param whole: seconds for all checks.
    :param bulk: bytes that must come back whole.
    :param most: bytes that no service should take from a client that reads none.
    :param crowd: connections at once.
    :param tries: datagrams that may get lost, one after the other.
    """

    answer: float = 2.0
    stall: float = 1.0
    beat: float = 1.0
    check: float = 8.0
    whole: float = 55.0
    bulk: int = 16 * 2**20
    most: int = 64 * 2**20
    crowd: int = 200
    tries: int = 3


@frozen
class Check:
    """
    One thing that may be right or wrong with a service.

    :param name: in a word.
    :param run: finds out; gives what is right in a line.
    :param advice: what its operator can do, in a line.
    :param isLarge: it sends more than anybody may send to strangers.
    :param kinds: of targets that it is for; all, by default.
    :ivar about: what is right.
    """

    name: str
    run: Callable[[Any], Awaitable[str]]
    advice: str
    isLarge: bool = False
    kinds: tuple[str, ...] = ()
    about: str = field(init=False)

    @about.default
    def _about(self) -> str:
        return " ".join(cleandoc(self.run.__doc__ or "").split())


@frozen
class Finding:
    """
    What a check found.

    :param check: which.
    :param state: ``OK``, ``WRONG`` or ``NOT_APPLICABLE``.
    :param reason: in a line.
    :param took: seconds.
    :param advice: what to do, if it is wrong.
    """

    check: Check
    state: str
    reason: str
    took: float = 0.0
    advice: str | None = None


def chosen(checks: Iterable[Check], only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    """
    Give those that were asked for; the first one is always there.
    """
    return [
        one
        for one in checks
        if one.name == FIRST or ((not only or one.name in only) and one.name not in skip)
    ]


def statusOf(results: Iterable[Mapping[str, Any]]) -> int:
    """
    Tell the exit status.

    :param results: of each target, with its checks, as :func:`valuesOf` has them.
    """
    checks = [list(result["checks"]) for result in results]
    if any(one["name"] == FIRST and one["state"] == WRONG for some in checks for one in some):
        return SILENCE
    return FAILED if any(one["state"] == WRONG for some in checks for one in some) else HELD


def valuesOf(finding: Finding) -> dict[str, Any]:
    """
    Give a finding as plain values.
    """
    return {
        "name": finding.check.name,
        "about": finding.check.about,
        "state": finding.state,
        "reason": finding.reason,
        "advice": finding.advice,
        "tookNs": round(finding.took * 10**9),
    }


# Verdicts


def same(sent: bytes, got: bytes) -> None:
    """
    See that what came back is what was sent.

    :raise Wrong: it is not; the text says where it first differs.
    """
    if got == sent:
        return
    if len(got) < len(sent) and sent.startswith(got):
        raise Wrong(f"{len(got):,} of {len(sent):,} bytes came back")
    if got.startswith(sent):
        raise Wrong(f"{len(got):,} bytes came back of {len(sent):,}")
    if got.endswith(sent):
        raise Wrong(f"{len(got) - len(sent):,} bytes stand before those that were sent")
    place = next(
        (place for place, (a, b) in enumerate(zip(sent, got, strict=False)) if a != b), len(got)
    )
    came = f"0x{got[place]:02x}" if place < len(got) else "nothing"
    raise Wrong(f"byte {place + 1:,} was 0x{sent[place]:02x}, and {came} came back")


def prompt(network: float, alone: Sequence[float], second: Sequence[float]) -> str:
    """
    Judge how soon answers come.

    :param network: seconds that the network takes.
    :param alone: seconds to the answer of one byte, several times.
    :param second: the same of a byte that follows another at once.
    :raise Wrong: they are held back, again and again; a busy host is not taken for that.
    """
    single, pair = _share(alone, 1 / 4), _share(second, 2 / 3)
    if single - network > PROMPT:
        raise Wrong(f"an answer takes {_ms(single)}, a connection is there after {_ms(network)}")
    if pair - _share(alone, 2 / 3) > HELD_BACK:
        raise Wrong(
            f"the answer to a second small piece takes {_ms(pair)}, to the first {_ms(single)}: "
            "it waits for an acknowledgement (Nagle's algorithm, RFC 896)"
        )
    return f"answers take {_ms(single)}, also that to the second of two pieces ({_ms(pair)})"


def _share(times: Sequence[float], share: float) -> float:
    return sorted(times)[int(len(times) * share)]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def stopped(taken: int, limit: int) -> str:
    """
    Judge how much a service takes from a client that reads nothing.

    :raise Wrong: it goes on.
    """
    if taken >= limit:
        raise Wrong(f"it took {sizeText(limit)} and went on; nearly all of it waits in its memory")
    return f"it stops after {sizeText(taken)}, with what the kernels' buffers hold"


def everyone(who: str, faults: Sequence[Exception | None]) -> str:
    """
    Judge whether all of many at once are answered.

    :param who: they are.
    :param faults: what each met, or nothing.
    :raise Wrong: some are not; the text has the most common reason.
    """
    met = Counter(str(fault) for fault in faults if fault is not None)
    if met:
        [(most, times)] = met.most_common(1)
        raise Wrong(
            f"{faults.count(None)} of {len(faults)} {who} at once were answered; "
            f"unanswered ({times}): {most}"
        )
    return f"{len(faults)} {who} at once have each their own answer"


def inOrder(sent: int, numbers: Sequence[int]) -> str:
    """
    Judge the order of replies.

    :param numbers: which came, in the order in which they came.
    :raise Wrong: they came in another, or too few did to tell.
    """
    if len(numbers) < sent / 2:
        raise Wrong(f"{len(numbers)} of {sent} datagrams came back", _TOO_FEW)
    late = sum(number < max(numbers[:place]) for place, number in enumerate(numbers) if place)
    if late:
        raise Wrong(f"{late} of {len(numbers)} replies came after one to a later datagram")
    return f"{len(numbers)} replies came in the order of the datagrams"


def repeated(sent: int, came: int) -> str:
    """
    Judge whether the same payload is answered again and again; one may get lost.

    :raise Wrong: it is not.
    """
    if came < sent - 1:
        raise Wrong(f"{came} of {sent} equal datagrams were answered")
    return f"{came} of {sent} equal datagrams were answered"


def askedAddresses(found: Mapping[str, str | None]) -> str:
    """
    Judge from where replies come.

    :param found: of each address that was asked, where its reply came from, if any did.
    :raise Wrong: from elsewhere.
    :raise NotApplicable: no more than one address answers.
    """
    came = {asked: source for asked, source in found.items() if source is not None}
    for asked, source in came.items():
        if source != asked:
            raise Wrong(f"{asked} was asked, and {source} replied")
    if not came:
        raise NotApplicable("no address answered")
    if len(came) < 2:
        raise NotApplicable("the service has one address that answers, and replies from it")
    return f"{', '.join(came)} reply themselves"


def datagramsText(count: int, size: int) -> str:
    """
    Write how many datagrams there are, and how large.
    """
    return f"{count} datagrams of {size:,} byte{'s' if size != 1 else ''}"


def sizeText(count: int) -> str:
    """
    Write a number of bytes for a person.
    """
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count:,} bytes"
