"""
All servers, side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench import startup
from bench.machine import circumstances
from bench.rounds import Results, run
from bench.rows import ROWS, STARTUP, Setting
from bench.servers import NotStarted, Running, Server, made


def _reactors(servers: Sequence[Server], setting: Setting) -> dict[str, str]:
    found = {}
    for server in servers:
        if server.name.startswith("echotwist"):
            try:
                with Running(server.commands["tcp"], setting.cores.server) as running:
                    found[server.name] = running.reactor
            except NotStarted as error:
                found[server.name] = str(error)
    return found


def compare(
    keys: Sequence[str],
    names: Sequence[str],
    folder: Path,
    setting: Setting,
    say: Callable[[str], object],
) -> Results:
    """
    Build the servers and measure them.

    :param keys: of the rows.
    :param names: of the servers.
    :param folder: where to build.
    :param say: is told what is going on.
    """
    about = circumstances(setting)
    rows = [row for row in ROWS if row.key in keys]
    servers, skipped = made(names, folder) if rows else ([], {})
    results = run(rows, servers, setting, say)
    if STARTUP in keys:
        say("start-up")
        startup.run(results, setting.rounds, setting.cores)
    results.about |= about | _reactors(servers, setting)
    results.about |= {f"skipped {name}": reason for name, reason in skipped.items()}
    return results
