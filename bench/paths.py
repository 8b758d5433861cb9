"""
Measures what a tool that measures paths is worth: its error, its cost, and how fast it can.

What tcpdump captured at the client's end is the truth.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.capture import Capture
from bench.command import say
from bench.namespace import Namespace, pair
from bench.tools import PORT, Probing, Tool

#: Probes a second at which round trips and processor time are compared.
RATE = 1000

#: Probes a second at which a tool reports how late it was itself; for how many seconds, and
#: in how many runs, of which the middle one counts.
FAST, _FAST_SECONDS, _FAST_RUNS = 10_000, 3.0, 3

#: When a tool keeps a rate, in one of some tries: it is that fast, so many come back, and
#: 99 of 100 are sent no later than this (ns).
_FAST, _BACK, _LATE, _TRIES = 0.99, 0.999, 10_000_000, 2

Figures = dict[str, float]


class Wrong(Exception):
    """
    A tool did not do what it should; the text says what.
    """


@dataclass(frozen=True)
class Route:
    """
    Where it is measured.

    :param interface: of the client, where packets are captured.
    :param address: of the server.
    """

    client: Namespace
    server: Namespace
    interface: str
    address: str
    folder: Path


@contextmanager
def made(name: str, folder: Path) -> Iterator[Route]:
    """
    Make a path.

    :param name: ``loopback`` or ``veth``.
    :param folder: for what clients and captures write.
    """
    with ExitStack() as stack:
        if name == "veth":
            near, far = stack.enter_context(pair())
            yield Route(far, near, "eth0", "10.99.0.1", folder)
        else:
            host = stack.enter_context(Namespace())
            yield Route(host, host, "lo", "127.0.0.1", folder)


@dataclass(frozen=True)
class Seen:
    """
    A run of a client.

    :param said: what it printed.
    :param cpu: nanoseconds of the processor.
    :param there: when each probe passed by.
    :param back: when each reply did.
    """

    said: str
    cpu: float
    there: Mapping[int, int]
    back: Mapping[int, int]


def _run(route: Route, one: Tool, probing: Probing) -> Seen:
    """
    Have a client probe, and watch.

    :raise Wrong: it does nothing.
    """
    file = route.folder / "pcap"
    with Capture(route.client, route.interface, one.words, file) as capture:
        said, cpu = _output(route, one.client(probing))
    there, back = one.passed(list(capture.packets()))
    if not there:
        raise Wrong(f"no probe left: {said.strip()}")
    if capture.dropped:
        say(f"tcpdump dropped {capture.dropped} packets")
    return Seen(said, cpu, there, back)


def _output(route: Route, words: Sequence[str | Path]) -> tuple[str, float]:
    """
    Run a client to its end.

    :return: what it printed, on standard error if not on standard output; and the
        nanoseconds of the processor that it took.
    """
    with ExitStack() as stack:
        files = [stack.enter_context((route.folder / name).open("w+b")) for name in ("out", "err")]
        process = route.client.start(words, cwd=route.folder, stdout=files[0], stderr=files[1])
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in files:
            file.seek(0)
        said = [file.read().decode(errors="replace") for file in files]
    return said[0] or said[1], (used.ru_utime + used.ru_stime) * 1e9


def _share(values: Sequence[float], percent: float) -> float:
    """
    Return a percentile.
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def errors(route: Route, one: Tool, seconds: float) -> Figures:
    """
    Compare round trips with the capture.

    :return: ``error50`` and ``error99`` (ns).
    """
    seen = _run(route, one, Probing(route.address, RATE, seconds, isEach=True))
    trips = one.trips(seen.said, route.folder, seen.there)
    differences = [
        abs(trip - (seen.back[key] - seen.there[key]))
        for key, trip in trips.items()
        if key in seen.back and key in seen.there
    ]
    if not differences or len(differences) < len(trips) / 2:
        raise Wrong(f"{len(differences)} of {len(trips)} round trips are in the capture")
    found = {f"error{percent}": float(_share(differences, percent)) for percent in (50, 99)}
    return {**found, "compared": len(differences)}


def processor(route: Route, one: Tool, seconds: float) -> Figures:
    """
    Measure the processor time of a probe, without that of the start.

    :return: ``cpu`` (ns).
    """
    short, long = (
        _run(route, one, Probing(route.address, RATE, some)) for some in (seconds / 2, seconds * 2)
    )
    more = len(long.there) - len(short.there)
    if more <= 0:
        raise Wrong(f"{len(long.there)} probes in twice the time of {len(short.there)}")
    return {"cpu": (long.cpu - short.cpu) / more}


def lateness(times: Sequence[int], rate: int) -> list[float]:
    """
    Tell by how much each probe was later than its time (ns), of that which was least late.
    """
    late = [at - n * 1e9 / rate for n, at in enumerate(sorted(times))]
    least = min(late)
    return [one - least for one in late]


def kept(route: Route, one: Tool, rate: int, seconds: float) -> Figures | None:
    """
    Try a rate.

    :return: the rate, ``late99`` (ns) and ``lost`` (a share), if the tool keeps it.
    """
    seen = _run(route, one, Probing(route.address, rate, seconds))
    times = sorted(seen.there.values())
    isFast = len(times) - 1 >= (times[-1] - times[0]) / 1e9 * rate * _FAST
    late, back = _share(lateness(times, rate), 99), len(seen.back) / len(times)
    if not isFast or back < _BACK or late > _LATE:
        return None
    return {"rate": rate, "late99": late, "lost": 1 - back}


def _tried(route: Route, one: Tool, rate: int, seconds: float) -> Figures | None:
    tries = (kept(route, one, rate, seconds) for _ in range(_TRIES))
    return next((found for found in tries if found is not None), None)


def measured(route: Route, one: Tool, seconds: float, rates: Sequence[int]) -> Figures:
    """
    Measure a tool.

    :param seconds: of each run.
    :raise Wrong: it does not do what it should.
    """
    if one.server is not None:
        route.server.start(one.server(route.address))
        route.server.waitForPort(PORT, one.words.split()[0])
    found = errors(route, one, seconds) | processor(route, one, seconds)
    for rate in rates if one.isPaced else ():
        if (now := _tried(route, one, rate, seconds)) is None:
            break
        found |= now
    if rates and one.lateness is not None:
        found |= account(route, one, one.lateness)
    return found


def account(route: Route, one: Tool, lateness: Callable[[str], tuple[float, float]]) -> Figures:
    """
    Have a tool report how late it was itself at a high rate.

    :return: ``own50`` and ``own99`` (ns late), ``ownCpu`` (ns of the processor for a probe).
    """
    _, start = _output(route, one.client(Probing(route.address, FAST, 1 / FAST)))
    probing = Probing(route.address, FAST, _FAST_SECONDS)
    runs = []
    for _ in range(_FAST_RUNS):
        said, cpu = _output(route, one.client(probing))
        half, most = lateness(said)
        runs.append({"own99": most, "own50": half, "ownCpu": (cpu - start) / probing.count})
    return sorted(runs, key=lambda run: run["own99"])[_FAST_RUNS // 2]
