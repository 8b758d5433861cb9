"""
What ``echoprobe doctor`` finds of echo services, ours and others': ``python -m bench doctor``.

Each service listens on all addresses of a network namespace of its own.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.command import say, some
from bench.namespace import Namespace
from bench.pages import ROOT, fill
from bench.report import Table, writeJSON
from bench.servers import BIN, PEERS
from bench.toolchains import Missing, tool

#: What was found, and the page that shows it, from the root of a checkout.
RESULT, PAGE = "docs/doctor.json", "docs/doctor.rst"

#: How states are written.
WORDS = {"ok": "ok", "wrong": "**no**", "not applicable": "–"}

_INETD = """\
echo stream tcp nowait root internal
echo dgram udp wait root internal
"""

_XINETD = "".join(
    f"""\
service echo
{{
    type = INTERNAL
    id = echo-{kind}
    socket_type = {kind}
    protocol = {protocol}
    wait = {wait}
    user = root
    disable = no
}}
"""
    for kind, protocol, wait in (("stream", "tcp", "no"), ("dgram", "udp", "yes"))
)


@dataclass(frozen=True)
class Service:
    """
    A service that is examined, on port 7.

    :param commands: what starts it, in an empty folder, as a shell would read it.
    :param version: what tells its version; by default it has ours.
    :param files: what lies in the folder.
    """

    commands: Sequence[str]
    version: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


_TWISTD = f"{BIN / 'twistd'} --nodaemon --pidfile= echo --port=7"
_DOCUMENTED = f"{sys.executable} {PEERS / 'documented.py'}"

SERVICES: Mapping[str, Service] = {
    "echotwist": Service([_TWISTD]),
    "echotwist --portable": Service([f"{_TWISTD} --portable"]),
    "socat EXEC:cat": Service(
        ["socat TCP-LISTEN:7,fork,reuseaddr EXEC:cat", "socat UDP-RECVFROM:7,fork EXEC:cat"],
        "socat -V",
    ),
    "socat PIPE": Service(
        ["socat TCP-LISTEN:7,fork,reuseaddr PIPE", "socat UDP-RECVFROM:7,fork PIPE"],
        "socat -V",
    ),
    "ncat -e cat": Service(
        ["ncat -4lke /bin/cat 7", "ncat -4ulke /bin/cat 7"],
        "ncat --version",
    ),
    "inetutils-inetd": Service(
        ["inetutils-inetd -d -p pid inetd.conf"],
        "inetutils-inetd --version",
        {"inetd.conf": _INETD},
    ),
    "xinetd": Service(
        ["xinetd -dontfork -f xinetd.conf -pidfile pid"],
        "xinetd -version",
        {"xinetd.conf": _XINETD},
    ),
    "asyncio": Service([f"{_DOCUMENTED} asyncio 7"], f"{sys.executable} --version"),
    "Twisted": Service([f"{_DOCUMENTED} twisted 7"], f"{BIN / 'twistd'} --version"),
}

#: Of one service: its version, and the checks of the doctor, as its ``--json`` has them.
Found = Mapping[str, Any]


def examined(service: Service) -> Found:
    """
    Start a service, examine it, and end it.

    :raise bench.toolchains.Missing: when it is not installed, or does not start.
    """
    for command in service.commands:
        tool(shlex.split(command)[0])
    with Namespace() as host, tempfile.TemporaryDirectory() as folder:
        for name, text in service.files.items():
            Path(folder, name).write_text(text)
        for command in service.commands:
            host.start(shlex.split(command), cwd=folder)
        host.waitForPort(7, "tcp", "udp")
        words = [sys.executable, "-m", "echotwist.probe", "doctor", "127.0.0.1", "--json"]
        report = json.loads(subprocess.run(host.command(words), stdout=subprocess.PIPE).stdout)
    checks = [
        {"kind": result["kind"], **{key: check[key] for key in ("name", "state", "reason")}}
        for result in report["results"]
        for check in result["checks"]
    ]
    return {"version": _version(service), "checks": checks}


def _version(service: Service) -> str:
    if not service.version:
        return ""
    done = subprocess.run(shlex.split(service.version), capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else ""


def table(every: Mapping[str, Found]) -> Table:
    """
    Make the table: a line for each check, a column for each service.
    """
    lines: dict[tuple[str, str], list[str]] = {}
    for found in every.values():
        for check in found["checks"]:
            key = check["kind"].upper(), check["name"]
            lines.setdefault(key, []).append(WORDS[check["state"]])
    return Table("", ["", "check", *every], [[*key, *states] for key, states in lines.items()])


def reasons(every: Mapping[str, Found]) -> str:
    """
    List what is wrong with each service, and why a check says nothing.
    """
    lines = []
    for name, found in every.items():
        wrong = [check for check in found["checks"] if check["state"] == "wrong"]
        marked = f"**{name}** {found['version']}".strip()
        lines += [f"{marked}: {len(wrong) or 'nothing'} wrong", ""]
        lines += [f"- {one['kind'].upper()} *{one['name']}*: {one['reason']}" for one in wrong]
        lines += [""] if wrong else []
    return "\n".join(lines)


def figures(data: Mapping[str, Any]) -> dict[str, str]:
    """
    Return what the page shows, by name, as reST.

    :param data: what is in :data:`RESULT`.
    """
    every = data["services"]
    return {"doctor": table(every).reST(), "reasons": reasons(every)}


def _parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(
        prog="python -m bench doctor",
        description="Examine echo services, ours and others', with echoprobe doctor.",
    )
    add, names = words.add_argument, f"of {', '.join(SERVICES)}"
    add("--only", type=some(SERVICES), default=[*SERVICES], metavar="A,B", help=names)
    add("--json", type=Path, metavar="FILE", help="all that was found")
    add("--publish", action="store_true", help=f"write {PAGE} of this checkout")
    return words


def main(arguments: Sequence[str]) -> int:
    """
    Run the command.

    :return: the exit status: 1 when ours is wrong, or a service is missing.
    """
    options = _parser().parse_args(arguments)
    every: dict[str, Found] = {}
    for name in options.only:
        try:
            say(name)
            every[name] = examined(SERVICES[name])
        except (Missing, TimeoutError) as reason:
            say(f"{name} is left out: {reason}")
    data = {"services": every}
    print(table(every).text("simple"), reasons(every), sep="\n\n")
    if options.json:
        writeJSON(options.json, data)
    if options.publish:
        writeJSON(ROOT / RESULT, data)
        fill([PAGE], figures(data))
    return 0
