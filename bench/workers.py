"""
What several workers do that one does not: ``python -m bench --workers``.

The load scales too: there are as many generators as workers, and no process is
bound to a core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median

import psutil

from bench.generator import Generator, Load, WrongReply
from bench.machine import circumstances
from bench.process import family, processorTime
from bench.report import Report, Table, lines, number
from bench.rows import Setting
from bench.servers import NotStarted, Running, echo

#: What each generator does.
LOADS = {
    "TCP 50 × 1 KiB": Load("streams", 50, 1024),
    "UDP 10 × 10 × 64 B": Load("datagrams", 10, 64, 10),
}


@dataclass(frozen=True)
class Found:
    """
    What one service did.

    :param rate: messages a second, of all generators.
    :param cpu: microseconds of all processes for each message.
    :param connections: how many each worker had.
    :param shares: the parts of the processor time that each worker took, in percent.
    :param lost: datagrams.
    """

    rate: float
    cpu: float
    connections: list[int]
    shares: list[int]
    lost: float


def _descriptors(pids: Sequence[int]) -> list[int]:
    return [psutil.Process(pid).num_fds() for pid in pids]


def _times(pids: Sequence[int]) -> list[int]:
    return [processorTime(pid) for pid in pids]


def _growth(before: Sequence[int], after: Sequence[int]) -> list[int]:
    return [b - a for a, b in zip(before, after, strict=True)]


def _found(results: Sequence[dict[str, float]], connections: list[int], spent: list[int]) -> Found:
    messages = sum(result["messages"] for result in results)
    return Found(
        rate=sum(result["messages"] / result["seconds"] for result in results),
        cpu=sum(spent) / 1000 / messages,
        connections=connections,
        shares=[round(100 * part / sum(spent)) for part in spent],
        lost=sum(result["lost"] for result in results),
    )


def measure(load: Load, workers: int, generators: int, setting: Setting) -> Found:
    """
    Start the service with some workers, measure, and stop it.

    :raise bench.generator.WrongReply: when it is no echo.
    """
    with ExitStack() as stack:
        running = stack.enter_context(Running(echo(f"--workers={workers}"), setting.cores.server))
        pids = family(running.pid)
        before = _descriptors(pids)
        loads = [
            stack.enter_context(setting.generator(load, running.port)) for _ in range(generators)
        ]
        for generator in loads:
            generator.ready()
        connections = _growth(before, _descriptors(pids))
        times = _times(pids)
        results = _together(loads)
        spent = _growth(times, _times(pids))
    # The parent of several workers does not serve.
    own = slice(1, None) if len(pids) > 1 else slice(None)
    return _found(results, connections[own], spent[own])


def _together(generators: Sequence[Generator]) -> list[dict[str, float]]:
    for generator in generators:
        generator.go()
    return [dict(generator.result()) for generator in generators]


def run(
    workers: int, setting: Setting, say: Callable[[str], object]
) -> dict[str, dict[int, list[Found]]]:
    """
    Compare some workers with one, in paired rounds.

    :return: what was found, by load and number of workers, one for each round.
    """
    found: dict[str, dict[int, list[Found]]] = {}
    for turn in range(setting.rounds):
        for label, load in LOADS.items():
            say(f"round {turn + 1} of {setting.rounds}: {label}")
            for count in [1, workers] if turn % 2 else [workers, 1]:
                cells = found.setdefault(label, {}).setdefault(count, [])
                cells.append(measure(load, count, workers, setting))
    return found


def _spread(figures: Sequence[int]) -> str:
    return " + ".join(map(str, figures)) if any(figures) else "–"


def _line(label: str, count: int, cells: Sequence[Found], single: Sequence[Found]) -> list[str]:
    pairs = zip(cells, single, strict=True)
    return [
        label,
        str(count),
        f"{median(cell.rate for cell in cells):,.0f}",
        number(median(cell.rate / one.rate for cell, one in pairs)),
        number(median(cell.cpu for cell in cells)),
        _spread(cells[-1].connections),
        _spread(cells[-1].shares),
    ]


def _table(found: dict[str, dict[int, list[Found]]]) -> Table:
    heads = ["", "workers", "messages/s", "× one", "µs each", "connections", "% of the time"]
    body = [
        _line(label, count, counts[count], counts[1])
        for label, counts in found.items()
        for count in sorted(counts)
    ]
    return Table("Workers; how the load spread is from the last round", heads, body)


def compareWorkers(workers: int, setting: Setting, say: Callable[[str], object]) -> Report:
    """
    Compare some workers with one.

    :param say: is told what is going on.
    """
    try:
        found = run(workers, setting, say)
    except (WrongReply, NotStarted) as error:
        return Report(faults=[f"echotwist, workers: {error}"])
    data = {
        label: {count: list(map(asdict, cells)) for count, cells in counts.items()}
        for label, counts in found.items()
    }
    about = circumstances(setting)
    return Report([_table(found)], lines(about), {"about": about, "workers": data})
