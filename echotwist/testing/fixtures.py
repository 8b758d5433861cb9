"""
The objects that the fixtures give to tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from echotwist.testing.process import EchoProcess
from echotwist.testing.words import commandWords

#: The default settings of a test: free ports of this host alone, and no wait for
#: connections that a test has left open.
_DEFAULTS = {"port": 0, "interface": "127.0.0.1", "drain": 0}

#: Settings that say where to listen, and the defaults that they replace.
_INSTEAD = {
    "interfaces": {"interface"},
    "raw": {"port"},
    "listen": {"port", "interface"},
    "systemd": {"port", "interface"},
    "unix_datagram": {"port", "interface"},
    "unixDatagrams": {"port", "interface"},
}

#: The default length and rate of a ping, if a test sets neither.
_PING = {("count", "duration"): ("count", 10), ("rate", "interval"): ("rate", 100)}


@contextmanager
def _failing(fixture: str) -> Iterator[None]:
    """
    Let the test fail with one line for a mistake in it.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        said = f"{fixture}: {str(error).removeprefix('echo: ')}"
        raise pytest.fail.Exception(said, pytrace=False) from None


class EchoServices:
    """
    Start services: the fixture ``echo_service``.

    A call starts one with settings; an attribute of a service, such as ``port``, starts one
    without settings if none runs.
    """

    def __init__(self) -> None:
        self._services: list[EchoProcess] = []

    def __call__(self, **settings: Any) -> EchoProcess:
        """
        Start a service with these settings.
        """
        from echotwist.settings import Settings

        given = set(settings).union(*(_INSTEAD.get(name, ()) for name in settings))
        defaults = {name: value for name, value in _DEFAULTS.items() if name not in given}
        with _failing("echo_service"):
            words = commandWords(Settings, {**defaults, **settings})
            self._services.append(EchoProcess(words))
        return self._services[-1]

    @property
    def current(self) -> EchoProcess:
        """
        The service that was started last; if there is none, start one without settings.
        """
        return self._services[-1] if self._services else self()

    def __getattr__(self, name: str) -> Any:
        """
        Return an attribute of the current service.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.current, name)

    def stopAll(self) -> list[str]:
        """
        Stop all services.

        :return: the faults found, for a person; empty if there are none.
        """
        return [fault for one in self._services for fault in one.stop()]


@contextmanager
def services() -> Iterator[EchoServices]:
    """
    Start services that stop at the end of the block; for a fixture of any scope.
    """
    made = EchoServices()
    try:
        yield made
    finally:
        faults = made.stopAll()
    if faults:
        pytest.fail(f"echo_service: {'; '.join(faults)}", pytrace=False)


class ProbeReport(dict[str, Any]):
    """
    The report of the probe, as ``--json`` prints it.
    """

    @property
    def status(self) -> int:
        """
        The probe's exit status: 0 if all conditions held.
        """
        return int(self["status"])

    def of(self, kind: str) -> dict[str, Any]:
        """
        Return the result of the target of a kind, such as ``udp``.

        :raise KeyError: there is none.
        """
        for one in self["results"]:
            if one["kind"] == kind:
                return dict(one)
        kinds = ", ".join(one["kind"] for one in self["results"])
        raise KeyError(f"no target of kind {kind}; there are {kinds}")


class EchoProbes:
    """
    Run the probe: the fixture ``echo_probe``.
    """

    def __init__(self, services: EchoServices) -> None:
        self._services = services

    def __call__(self, target: Any = None, command: str = "ping", **options: Any) -> ProbeReport:
        """
        Probe a service.

        :param target: a service, or a target of the probe; by default, the current service.
        :param command: the command of the probe: ``ping``, ``load``, ``doctor`` or another one.
        :param options: the options of the command.
        """
        from echotwist.probe.options import COMMANDS

        if command not in COMMANDS:
            names = ", ".join(COMMANDS)
            pytest.fail(f"echo_probe: no command {command}; there are {names}", pytrace=False)
        if command == "ping":
            options.update(
                default for names, default in _PING.items() if not options.keys() & set(names)
            )
        where: Any = self._services.current if target is None else target
        with _failing("echo_probe"):
            words = commandWords(COMMANDS[command].made, {**options, "json": True})
        return _run([command, getattr(where, "target", where), *words])


def _run(words: list[str]) -> ProbeReport:
    done = subprocess.run(
        [sys.executable, "-m", "echotwist.probe", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if not done.stdout:
        said = done.stderr.strip().removeprefix("echoprobe: ") or f"status {done.returncode}"
        pytest.fail(f"echo_probe: {said}", pytrace=False)
    return ProbeReport(json.loads(done.stdout))
