"""
Which versions run.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import twisted


def program() -> str:
    """
    Name this program with its version.
    """
    try:
        return f"echotwist {version('echotwist')}"
    except PackageNotFoundError:  # It runs from its source, and was never installed.
        return "echotwist of unknown version"


def versions() -> str:
    """
    Name what runs, and what it runs on.
    """
    return f"{program()}, Twisted {twisted.__version__}"
