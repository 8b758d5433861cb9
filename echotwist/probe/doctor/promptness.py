"""
The check whether a service of streams answers at once.
"""

from __future__ import annotations

from time import perf_counter

from echotwist.probe.doctor.connection import Connection
from echotwist.probe.doctor.findings import prompt, same
from echotwist.probe.doctor.service import Service
from echotwist.probe.waiting import pause

#: How many answers to time.
_TIMES = 16


async def delay(service: Service) -> str:
    """
    Answers leave at once; so does the answer to the second of two small pieces.
    """
    one = await service.connect()
    network = min([one.connected, (await service.connect()).connected])
    alone, second = [], []
    for number in range(_TIMES):
        one.delayAcknowledgements()
        alone.append(await _asked(one))
        one.delayAcknowledgements()
        await one.send(b"1")
        await _wait(service, min(alone) * (1 + number % 8) / 10)
        began = perf_counter()
        await one.send(b"2")
        same(b"12", await one.receive(2))
        second.append(perf_counter() - began)
    return prompt(network, alone, second)


async def _wait(service: Service, seconds: float) -> None:
    """
    Wait as exactly as possible: the second piece must leave after the service has read the
    first, and before the answer to the first is here.
    """
    if seconds > 0.002:
        await pause(service.case.reactor, seconds)
        return
    until = perf_counter() + seconds
    while perf_counter() < until:
        pass


async def _asked(one: Connection) -> float:
    began = perf_counter()
    await one.ask(b"?")
    return perf_counter() - began
