"""
The parts in C, if they were compiled when the package was installed; if not, Python
does the same.
"""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from typing import Any

#: The same as in ``speedups.h``.  A change of a C function's arguments or result raises both,
#: so that a module compiled from an older version is not used.
BUILD = 2


def found() -> Any:
    """
    Return the module :mod:`echotwist.fast.speedups`, if it is of this build and
    ``ECHOTWIST_SPEEDUPS=0`` is not in the environment.
    """
    if os.environ.get("ECHOTWIST_SPEEDUPS") != "0":
        with suppress(ImportError):
            module = import_module("echotwist.fast.speedups")
            if getattr(module, "BUILD", None) == BUILD:
                return module
    return None


speedups: Any = found()
