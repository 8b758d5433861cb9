"""
What is compiled, without a warning, and its tests under sanitizers.

``python -m tests.sanitized`` needs GCC with its libraries of sanitizers.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from tests.support.live import ROOT

SOURCES = [*(ROOT / "echotwist" / "fast").glob("*.c")]

#: The tests to run; trial finds fewer than this many if something is wrong.
TESTS, LEAST = (
    [
        f"tests.fast.{name}"
        for name in (
            "test_speedups",
            "test_usual",
            "test_bare",
            "test_fast.FastConnectionTests",
            "test_fast.CompiledBatchPortTests",
        )
    ],
    90,
)

WARNINGS = ["-Wall", "-Wextra", "-Werror"]

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compiled(target: Path, *flags: str) -> None:
    """
    Compile it.

    :raise CalledProcessError: there was a warning.
    """
    headers = ["-I", sysconfig.get_paths()["include"]]
    command: list[str | Path] = ["gcc", "-shared", "-fPIC", "-g", "-O1", *flags]
    command += [*headers, *SOURCES, "-o", target]
    subprocess.run(command, check=True)


def library(name: str) -> str:
    """
    Find one of GCC's libraries.
    """
    return subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()


def main() -> str | None:
    """
    Compile it, and run its tests.

    :return: what is wrong, if anything is.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("echotwist", "tests"):
            ignored = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        compiled(folder / "echotwist" / "fast" / "speedups.abi3.so", *WARNINGS, *SANITIZERS)
        environment = {
            **os.environ,
            "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
            # Python itself leaves much behind in the end; the tests count what is left.
            "ASAN_OPTIONS": "detect_leaks=0",
            # One that checks each piece of memory by itself.
            "PYTHONMALLOC": "malloc",
        }
        command = [sys.executable, "-m", "twisted.trial", "--reporter=text", *TESTS]
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    print(run.stdout, run.stderr)
    found = re.search(r"^PASSED \(successes=(\d+)\)", run.stdout, re.MULTILINE)
    if run.returncode or not found:
        return "a test failed, or was skipped"
    return "too few tests ran" if int(found[1]) < LEAST else None


if __name__ == "__main__":
    sys.exit(main())
