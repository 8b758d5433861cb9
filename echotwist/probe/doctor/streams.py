"""
The checks of an echo service for streams; each docstring says what is right.
"""

from __future__ import annotations

import random
from time import monotonic, perf_counter

from echotwist.probe.doctor.connection import Connection
from echotwist.probe.doctor.findings import FIRST, Check, Wrong, everyone, same, sizeText, stopped
from echotwist.probe.doctor.promptness import delay
from echotwist.probe.doctor.service import Service, needs
from echotwist.probe.doctor.waiting import apart, together
from echotwist.probe.waiting import pause

#: Bytes of the receive buffer of a client that should take little.
_NARROW = 2**14


async def answers(service: Service) -> str:
    """
    Something comes back over a connection.
    """
    one = await service.connect()
    began = perf_counter()
    await one.send(b"hello?\n")
    if not await one.some():
        raise Wrong("the service closed the connection, and nothing came back")
    return f"an answer is there after {1000 * (perf_counter() - began):.1f} ms"


async def allBytes(service: Service) -> str:
    """
    All 256 values of a byte come back as they are, after any other.
    """
    values = bytes(range(256))
    await (await service.connect()).ask(values + values[::-1] + values[::2] + values[1::2])
    return "all values come back as they are"


async def pieces(service: Service) -> str:
    """
    Bytes that arrive one by one come back in order; no end of line is needed.
    """
    one = await service.connect()
    for value in b"no line ends here":
        await one.send(bytes([value]))
        await pause(service.case.reactor, 0.002)
    same(b"no line ends here", await one.receive(17))
    return "bytes that come one by one come back"


async def halfClose(service: Service) -> str:
    """
    A client that half-closes right after the last byte gets all bytes, then the end.
    """
    for data in (b"?", _noise(100_000)):
        one = await service.connect()
        one.hold()
        _, got = await together(_sendAll(one, data), one.receive(len(data)))
        same(data, got)
        await one.end()
    return f"all {len(data):,} bytes come back after the half-close, then the end"


async def emptyHalfClose(service: Service) -> str:
    """
    A client that half-closes without having sent anything gets the end of stream, no error.
    """
    one = await service.connect()
    await one.finish()
    await one.end()
    return "the end comes, without an error"


async def whole(service: Service) -> str:
    """
    Many bytes, sent while others are read, come back whole.
    """
    data = _noise(service.limits.bulk)
    one = await service.connect()
    _, got = await together(_sendAll(one, data), one.receive(len(data)))
    same(data, got)
    return f"all {len(data):,} bytes come back as they are"


async def backPressure(service: Service) -> str:
    """
    The service stops reading from a client that reads nothing, before its memory fills up; it
    may also end the connection.
    """
    one = await service.connect(_NARROW)
    chunk, limits, taken = bytes(2**16), service.limits, 0
    try:
        while taken < limits.most and (count := await one.offer(chunk, limits.stall)):
            taken += count
    except Wrong as error:
        return f"it ends the connection after {sizeText(taken)}: {error}"
    return stopped(taken, limits.most)


async def others(service: Service) -> str:
    """
    While one client reads nothing, others get their answers.
    """
    stuck = await service.connect(_NARROW)
    await stuck.offer(bytes(service.limits.bulk), service.limits.stall)
    await pause(service.case.reactor, service.limits.stall)  # If the buffers took all of it.
    began = perf_counter()
    await (await service.connect()).ask(b"?")
    took = 1000 * (perf_counter() - began)
    return f"another client has its answer after {took:.1f} ms"


async def crowd(service: Service) -> str:
    """
    Many connections at once all get their answers.
    """
    people = (_person(service, b"%05d" % number) for number in range(service.limits.crowd))
    return everyone("connections", await apart(*people))


async def _person(service: Service, data: bytes) -> None:
    await (await service.connect()).ask(data)


async def resets(service: Service) -> str:
    """
    Clients that reset their connections do no harm to others.
    """
    before = await service.connect()
    await before.ask(b"1")
    for _ in range(20):
        one = await service.connect()
        await one.send(b"never read")
        one.reset()
    await pause(service.case.reactor, 0.05)
    await before.ask(b"2")
    await (await service.connect()).ask(b"3")
    return "after 20 resets an older connection is served, and a new one"


async def slowReader(service: Service) -> str:
    """
    A client that reads slowly gets everything that it sent.
    """
    data = _noise(service.limits.bulk // 4)
    one = await service.connect(_NARROW)
    _, got = await together(_sendAll(one, data, patience=60.0), _slowly(service, one, len(data)))
    same(data, got)
    return f"all {len(data):,} bytes come back, however slowly they are read at first"


async def addresses(service: Service) -> str:
    """
    The service answers on each address of the name.
    """
    places = service.case.places
    needs(len(places) > 1, "the target has one address")
    for place in places:
        try:
            await (await service.connect(place=place)).ask(b"?")
        except Wrong as error:
            raise Wrong(f"{place}: {error}") from None
    return f"{', '.join(map(str, places))} answer"


async def _sendAll(one: Connection, data: bytes, patience: float = 0.0) -> bytes:
    if patience:
        same(data, data[: await one.offer(data, patience)])
    else:
        await one.send(data)
    await one.finish()
    return data


async def _slowly(service: Service, one: Connection, count: int) -> bytes:
    until = monotonic() + service.limits.stall
    got = b""
    while len(got) < count and monotonic() < until:
        await pause(service.case.reactor, 0.02)
        if not (data := await one.some(2**11)):
            return got
        got += data
    return await one.receive(count, got)


def _noise(count: int) -> bytes:
    return random.Random(862).randbytes(count)


#: All checks, in the order of running.
STREAM_CHECKS = [
    Check(
        FIRST,
        answers,
        "Start the service; see with `ss -ltn` where it listens, and that no firewall drops it.",
    ),
    Check(
        "bytes",
        allBytes,
        "Echo bytes, not text: no decoding, no line ends, no telnet options.",
    ),
    Check(
        "pieces",
        pieces,
        "Write bytes as soon as they are read; do not wait for a line or a full buffer.",
    ),
    Check(
        "half-close",
        halfClose,
        "At the end of input write what is left, then close (Twisted: IHalfCloseableProtocol).",
    ),
    Check(
        "empty-half-close",
        emptyHalfClose,
        "Close when recv() returns no bytes, even if it never returned any; do not reset.",
    ),
    Check(
        "whole",
        whole,
        "Write on after a write that took only a part, and keep what is left in order; let "
        "neither reading nor writing wait for the other.",
        isLarge=True,
    ),
    Check(
        "back-pressure",
        backPressure,
        "Stop reading while writes wait (Twisted: registerProducer; asyncio: await drain()).",
        isLarge=True,
    ),
    Check(
        "others",
        others,
        "Let no write block all: non-blocking sockets, or a thread or process a connection.",
        isLarge=True,
    ),
    Check(
        "crowd",
        crowd,
        "Allow more connections and open files (ulimit -n), a longer backlog "
        "(listen(), sysctl net.core.somaxconn); accept while others are served.",
        isLarge=True,
    ),
    Check(
        "delay",
        delay,
        "Set TCP_NODELAY on accepted connections (socat: nodelay); sleep nowhere in the loop.",
    ),
    Check(
        "resets",
        resets,
        "Treat ECONNRESET and EPIPE as the end of that connection only; ignore SIGPIPE.",
    ),
    Check(
        "slow-reader",
        slowReader,
        "Keep waiting for a peer that reads slowly, also when it has half-closed; a timeout "
        "must begin anew with each byte.",
        isLarge=True,
    ),
    Check(
        "addresses",
        addresses,
        "Listen on :: and 0.0.0.0, or remove addresses that are not served from the DNS.",
        kinds=("tcp", "tls"),
    ),
]
