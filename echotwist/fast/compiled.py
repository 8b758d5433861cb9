"""
The parts in C, if they were compiled when the package was installed; if not, Python
does the same.
"""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from typing import Any

#: As in ``speedups.h``, and raised with it when what is compiled takes or gives something
#: else: what an older version left behind is not for us.
BUILD = 1


def found() -> Any:
    """
    Give the module :mod:`echotwist.fast.speedups`, if there is one of this build and
    ``ECHOTWIST_SPEEDUPS=0`` is not in the environment.
    """
    if os.environ.get("ECHOTWIST_SPEEDUPS") != "0":
        with suppress(ImportError):
            module = import_module("echotwist.fast.speedups")
            if getattr(module, "BUILD", None) == BUILD:
                return module
    return None


speedups: Any = found()
