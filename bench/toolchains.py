"""
What turns sources into programs, where it is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


class Missing(Exception):
    """
    Something is not installed here; the text names it.
    """


def tool(name: str) -> str:
    """
    Find a program.

    :raise Missing: when it is not installed.
    """
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is not installed")
    return found


def _run(words: Sequence[str | Path], what: str, **environment: str) -> None:
    done = subprocess.run(
        words, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        lines = done.stdout.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise Missing(f"{what} does not compile: {lines[-1]}")


def compiled(sources: Sequence[Path], program: Path) -> Path:
    """
    Compile C.

    :raise Missing: when there is no compiler, or it fails.
    """
    flags = ["-O2", "-D_GNU_SOURCE", "-o"]
    _run([tool("cc"), *flags, program, *sources], sources[0].name)
    return program


def compiledGo(source: Path, program: Path) -> Path:
    """
    Compile Go.

    :raise Missing: when it is not installed, or fails.
    """
    _run([tool("go"), "build", "-o", program, source], source.name, GOCACHE=f"{program}.cache")
    return program


def version(name: str, *words: str) -> str:
    """
    Return the first line of what a program says of itself, or nothing.
    """
    found = shutil.which(name)
    if not found:
        return ""
    said = subprocess.run([found, *words], capture_output=True, text=True).stdout
    return (said.splitlines() or [""])[0]
