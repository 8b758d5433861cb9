"""
``echoprobe explain``, in this process: it needs no reactor.
"""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema

import echotwist.probe.explain
from echotwist.probe.command import run

SCHEMA = json.loads(Path(echotwist.probe.explain.__file__).with_name("schema.json").read_text())


def said(*words: str | Path) -> tuple[int, str, str]:
    """
    Run the program in this process, which has scapy; give its status, and what it says on
    standard output and as an error.
    """
    with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as error:
        status = run(["explain", *map(str, words)])
    return status, output.getvalue(), error.getvalue()


def explained(*words: str | Path, status: int = 0) -> dict[str, Any]:
    """
    Explain captures.
    """
    ended, output, error = said(*words, "--json")
    assert (ended, error) == (status, ""), error
    report = json.loads(output)
    jsonschema.validate(report, SCHEMA)
    return dict(report)
