"""
The versions of this program and of what it runs on.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import twisted


def program() -> str:
    """
    Return the name and version of this program.
    """
    try:
        return f"echotwist {version('echotwist')}"
    except PackageNotFoundError:  # The program runs from its source, and was never installed.
        return "echotwist of unknown version"


def versions() -> str:
    """
    Return the versions of this program, and of what it runs on.
    """
    return f"{program()}, Twisted {twisted.__version__}"
