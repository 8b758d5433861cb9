"""
The checks of an echo service for datagrams; each docstring says what is right.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Awaitable, Callable
from functools import partial, update_wrapper
from time import monotonic, perf_counter

from echotwist.probe.doctor.findings import (
    FIRST,
    Check,
    NotApplicable,
    Wrong,
    askedAddresses,
    everyone,
    inOrder,
    repeated,
    same,
)
from echotwist.probe.doctor.mailbox import Mailbox
from echotwist.probe.doctor.service import Service
from echotwist.probe.doctor.waiting import apart, together
from echotwist.probe.places import Place
from echotwist.probe.waiting import pause

#: Bytes of datagrams: one byte; the largest that fits an Ethernet frame and the first that
#: does not; the first beyond buffers of 8,192; a jumbo frame; the largest of IPv4; and
#: none, which some services take for the end of input.
SIZES = (1, 1472, 1473, 8193, 9000, 65507, 0)

#: How many datagrams to send for the check of their order, and the seconds between them.
_MANY, _APART = 50, 0.002

#: Seconds to wait for a second reply to the same datagram.
_SOON = 0.2

#: How many clients ask at once, and how many equal datagrams to send.
_CLIENTS, _EQUAL = 20, 5


async def answers(service: Service) -> str:
    """
    Something comes back.
    """
    began, limits = perf_counter(), service.limits
    await service.mailbox().ask(b"hello?\n", limits.tries, limits.answer)
    return f"a reply is there after {1000 * (perf_counter() - began):.1f} ms"


async def allBytes(service: Service) -> str:
    """
    All 256 values of a byte come back as they are.
    """
    await _ask(service, bytes(range(256)))
    return "all values come back as they are"


async def size(service: Service, count: int) -> str:
    """
    A datagram of this size comes back whole, in one reply.
    """
    await _ask(service, random.Random(count).randbytes(count))
    return "it comes back whole"


async def order(service: Service) -> str:
    """
    Replies come in the order of the datagrams, one for each.
    """
    box, mark = service.mailbox(), secrets.token_hex(8).encode() + b":"
    _, numbers = await together(_sendMany(service, box.send, mark), _numbers(service, box, mark))
    return inOrder(_MANY, numbers)


async def clients(service: Service) -> str:
    """
    Each of several clients that ask at the same time gets its own reply.
    """
    people = (_ask(service, b"client %d" % number) for number in range(_CLIENTS))
    return everyone("clients", await apart(*people))


async def again(service: Service) -> str:
    """
    A client that sends equal datagrams from one port gets a reply to each.
    """
    box, came, limits = service.mailbox(), 0, service.limits
    for _ in range(_EQUAL):
        next = monotonic() + limits.beat
        box.send(b"hi\n")
        came += await box.receive(limits.answer / limits.tries) is not None
        await pause(service.case.reactor, max(0.0, next - monotonic()))
    return repeated(_EQUAL, came)


async def once(service: Service) -> str:
    """
    A datagram is answered once.
    """
    box = service.mailbox()
    box.send(b"once")
    if await box.receive(service.limits.answer) is None:
        raise NotApplicable("the one datagram was lost")
    if (more := await box.receive(_SOON)) is not None:
        raise Wrong(f"a second reply of {len(more[0]):,} bytes came")
    return "no second reply comes"


async def askedAddress(service: Service) -> str:
    """
    The reply comes from the address that was asked, whichever of the host's it is.
    """
    places = service.addresses()
    found = await together(*(_sourceOf(service, place) for place in places))
    return askedAddresses(dict(zip(map(str, places), found, strict=True)))


async def _sourceOf(service: Service, place: Place) -> str | None:
    """
    Ask an address, and return the address that replies.
    """
    limits = service.limits
    try:
        box = service.mailbox(place, isConnected=False)
        for _ in range(limits.tries):
            box.send(secrets.token_bytes(16))
            if (found := await box.receive(limits.answer / limits.tries)) is not None:
                return str(Place(place.family, found[1]))
    except (NotApplicable, Wrong):
        pass
    return None


async def _ask(service: Service, data: bytes) -> None:
    limits = service.limits
    same(data, await service.mailbox().ask(data, limits.tries, limits.answer))


async def _sendMany(service: Service, send: Callable[[bytes], None], mark: bytes) -> list[int]:
    for number in range(_MANY):
        send(b"%s%d" % (mark, number))
        await pause(service.case.reactor, _APART)
    return []


async def _numbers(service: Service, box: Mailbox, mark: bytes) -> list[int]:
    numbers: list[int] = []
    patience = service.limits.answer
    try:
        while len(numbers) < _MANY and (found := await box.receive(patience)) is not None:
            digits = found[0].removeprefix(mark)
            if not digits.isdigit():
                raise Wrong(f"a reply of {len(found[0]):,} bytes matches no datagram sent")
            numbers.append(int(digits))
    except Wrong as error:
        raise Wrong(f"{error}, after {len(numbers)} of {_MANY} replies", error.advice) from None
    return numbers


def _ofSize(count: int) -> Callable[[Service], Awaitable[str]]:
    made = partial(size, count=count)
    return update_wrapper(made, size)


_LARGE_ADVICE = (
    "Receive with a buffer of 65,535 bytes (Twisted: maxPacketSize=65536); let fragments pass."
)
_SIZE_ADVICE = {
    0: "Send what recvfrom() returns, even if it is empty: that is not an end.",
    1: "Send what was received, all of it.",
    1472: "Look for a firewall, or a rate limit, that drops it.",
    1473: "It goes in fragments: let them pass (firewall, security group), and take off no DF.",
}

#: All checks, in the order of running: checks that some services do not survive come
#: last.
DATAGRAM_CHECKS = [
    Check(
        FIRST,
        answers,
        "Start the service; see with `ss -lun` where it listens, and that no firewall drops it.",
    ),
    Check("bytes", allBytes, "Echo bytes, not text: no decoding, no line ends."),
    Check("once", once, "Send one reply to each datagram, from one process."),
    Check(
        "again",
        again,
        "Drop no datagram for being equal to one before; a guard against loops must let "
        "a few a second pass.",
    ),
    Check(
        "asked-address",
        askedAddress,
        "Reply from the address that was asked: IP_PKTINFO (ip(7)), or one socket "
        "for each address.",
        kinds=("udp",),
    ),
    Check("clients", clients, "Send each reply to the address that recvfrom() gave with it."),
    *(
        Check(f"size-{count}", _ofSize(count), _SIZE_ADVICE.get(count, _LARGE_ADVICE))
        for count in SIZES
    ),
    Check("order", order, "Answer in the order of arrival; look for several paths or threads."),
]
