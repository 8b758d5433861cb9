"""
The parts in C, if they were compiled when the package was installed; if not, Python
does the same.
"""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from typing import Any

#: The module :mod:`echotwist.fast.speedups`, if there is one and ``ECHOTWIST_SPEEDUPS=0``
#: is not in the environment.
speedups: Any = None

if os.environ.get("ECHOTWIST_SPEEDUPS") != "0":
    with suppress(ImportError):
        speedups = import_module("echotwist.fast.speedups")
