"""
Where it was measured, and with what.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as versionOf
from pathlib import Path

from bench.rows import Setting
from bench.toolchains import version


def _model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _package(name: str) -> str:
    try:
        return versionOf(name)
    except PackageNotFoundError:
        return ""


def parts() -> dict[str, str]:
    """
    Say on what it is measured, by name.
    """
    found = {
        "processor": _model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "Python": platform.python_version(),
        "Twisted": _package("Twisted"),
        "echotwist": _package("echotwist"),
        "uvloop": _package("uvloop"),
        "C": version("cc", "--version"),
        "Go": version("go", "version").removeprefix("go version "),
        "PHP": version("php", "--version").partition(" (")[0].removeprefix("PHP "),
    }
    return {name: value for name, value in found.items() if value}


def otherWork() -> str:
    """
    Say how busy the machine is now.
    """
    return f"{os.getloadavg()[0]:.1f} processes on average, in the minute before"


def circumstances(setting: Setting) -> dict[str, str]:
    """
    Say where and how it is going to be measured, by name.
    """
    found = parts()
    found["rounds"] = f"{setting.rounds}, {setting.seconds} s for each measurement"
    found["connections"] = f"{setting.most:,} at most"
    found["other work"] = otherWork()
    if not setting.cores.apart:
        found["not pinned"] = "server and client share the cores"
    return found
