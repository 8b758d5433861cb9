"""
The findings of checks, and how they are judged (pure).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from inspect import cleandoc
from typing import Any

from attrs import field, frozen

from echotwist.probe.result import FAILED, HELD, SILENCE

#: The states of a finding: the service is right; it is wrong; the check cannot tell.
OK, WRONG, NOT_APPLICABLE = "ok", "wrong", "not applicable"

#: The first check: all others need a service that answers.
FIRST = "answers"

#: Seconds by which an answer may take longer than the network, and by which the answer to a
#: second piece may take longer than to the first: Linux delays an acknowledgement by 40 ms.
PROMPT, HELD_BACK = 0.02, 0.03


#: The advice if a service has disappeared.
GONE = (
    "It was there before: see in its log whether it ended, or was switched off by a limit "
    "on the rate (xinetd: cps; inetd: -R)."
)

_TOO_FEW = "Look for a limit on the rate (xinetd: cps), and give its socket more room (SO_RCVBUF)."


class Wrong(Exception):
    """
    The service does something wrong.

    :param text: the fault.
    :param advice: what its operator can do, instead of the advice of the check.
    """

    def __init__(self, text: str, advice: str = "") -> None:
        super().__init__(text)
        self.advice = advice


class NotApplicable(Exception):
    """
    The check cannot tell whether the service is right; the text says why.
    """


@frozen(kw_only=True)
class Limits:
    """
    The limits of checks.

    :param answer: seconds in which the service must do something.
    :param stall: seconds without progress after which the service has stopped reading.
    :param beat: seconds between datagrams that count as repetition.
    :param check: seconds for a check.
    :param whole: seconds for all checks.
    :param bulk: bytes that must come back whole.
    :param most: bytes that no service should take from a client that reads nothing.
    :param crowd: connections at once.
    :param tries: how many datagrams in a row may get lost.
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
    One check of a service.

    :param name: its name, in a word.
    :param run: runs it, and returns in a line what is right.
    :param advice: what the operator of a wrong service can do, in a line.
    :param isLarge: it sends more than is polite to addresses of others.
    :param kinds: the kinds of target that it applies to; empty for all.
    :ivar about: the behaviour that is right.
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
    The result of a check.

    :param check: the check.
    :param state: ``OK``, ``WRONG`` or ``NOT_APPLICABLE``.
    :param reason: the reason, in a line.
    :param took: seconds.
    :param advice: what the operator can do, if the service is wrong.
    """

    check: Check
    state: str
    reason: str
    took: float = 0.0
    advice: str | None = None


def chosen(checks: Iterable[Check], only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    """
    Return the chosen checks, and always the first one.
    """
    return [
        one
        for one in checks
        if one.name == FIRST or ((not only or one.name in only) and one.name not in skip)
    ]


def statusOf(results: Iterable[Mapping[str, Any]]) -> int:
    """
    Return the exit status.

    :param results: the results of each target, with findings as of :func:`valuesOf`.
    """
    checks = [list(result["checks"]) for result in results]
    if any(one["name"] == FIRST and one["state"] == WRONG for some in checks for one in some):
        return SILENCE
    return FAILED if any(one["state"] == WRONG for some in checks for one in some) else HELD


def valuesOf(finding: Finding) -> dict[str, Any]:
    """
    Return a finding as plain values.
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
    Check that the bytes that came back are those that were sent.

    :raise Wrong: they are not; the text names the first difference.
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
    Judge the delay of answers.

    :param network: seconds that the network takes.
    :param alone: seconds to the answer to one byte, several times.
    :param second: seconds to the answer to a byte sent right after another, several times.
    :raise Wrong: answers are held back each time; a busy host delays only some of them.
    """
    single, pair = _share(alone, 1 / 4), _share(second, 2 / 3)
    if single - network > PROMPT:
        raise Wrong(f"an answer takes {_ms(single)}, a connection is there after {_ms(network)}")
    if pair - _share(alone, 2 / 3) > HELD_BACK:
        raise Wrong(
            f"the answer to a second small piece takes {_ms(pair)}, to the first {_ms(single)}: "
            "it waits for an acknowledgement (Nagle's algorithm, RFC 896)"
        )
    return f"answers take {_ms(single)}, to the second of two pieces {_ms(pair)}"


def _share(times: Sequence[float], share: float) -> float:
    return sorted(times)[int(len(times) * share)]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def stopped(taken: int, limit: int) -> str:
    """
    Judge how many bytes a service takes from a client that reads nothing.

    :raise Wrong: the service went on to the limit.
    """
    if taken >= limit:
        raise Wrong(f"it took {sizeText(limit)} and went on; nearly all of it waits in its memory")
    return f"it stops after {sizeText(taken)}, with what the kernels' buffers hold"


def everyone(who: str, faults: Sequence[Exception | None]) -> str:
    """
    Judge whether all of many clients at once got their answers.

    :param who: what they are, such as ``connections``.
    :param faults: the error of each client; ``None`` for no error.
    :raise Wrong: some got no answer; the text has the most common reason.
    """
    met = Counter(str(fault) for fault in faults if fault is not None)
    if met:
        [(most, times)] = met.most_common(1)
        raise Wrong(
            f"{faults.count(None)} of {len(faults)} {who} at once were answered; "
            f"unanswered ({times}): {most}"
        )
    return f"each of {len(faults)} {who} at once has its own answer"


def inOrder(sent: int, numbers: Sequence[int]) -> str:
    """
    Judge the order of replies.

    :param numbers: the numbers of the replies, in the order of arrival.
    :raise Wrong: they came in another order, or too few came to tell.
    """
    if len(numbers) < sent / 2:
        raise Wrong(f"{len(numbers)} of {sent} datagrams came back", _TOO_FEW)
    late = sum(number < max(numbers[:place]) for place, number in enumerate(numbers) if place)
    if late:
        raise Wrong(f"{late} of {len(numbers)} replies came after one to a later datagram")
    return f"{len(numbers)} replies came in the order of the datagrams"


def repeated(sent: int, came: int) -> str:
    """
    Judge whether equal datagrams are answered each time; one may get lost.

    :raise Wrong: they are not.
    """
    if came < sent - 1:
        raise Wrong(f"{came} of {sent} equal datagrams were answered")
    return f"{came} of {sent} equal datagrams were answered"


def askedAddresses(found: Mapping[str, str | None]) -> str:
    """
    Judge the addresses that replies come from.

    :param found: for each address that was asked, the address that replied, if any.
    :raise Wrong: a reply came from another address.
    :raise NotApplicable: fewer than two addresses answered.
    """
    came = {asked: source for asked, source in found.items() if source is not None}
    for asked, source in came.items():
        if source != asked:
            raise Wrong(f"{asked} was asked, and {source} replied")
    if not came:
        raise NotApplicable("no address answered")
    if len(came) < 2:
        raise NotApplicable("the service has one address that answers, and replies from it")
    return f"each replies from its own address: {', '.join(came)}"


def datagramsText(count: int, size: int) -> str:
    """
    Format a number of datagrams and their size.
    """
    return f"{count} datagrams of {size:,} byte{'s' if size != 1 else ''}"


def sizeText(count: int) -> str:
    """
    Format a number of bytes.
    """
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count:,} bytes"
